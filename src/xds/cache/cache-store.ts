// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { shortHash } from "../../lib/content-hash.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { Budget } from "../../lib/budget.ts";
import type { Budgets } from "../../model/limits.ts";
import { InvalidCacheError, PendingRecord, readRecord, type RecordHead } from "./cache-record.ts";
import { parseResponse, renderResponse, type XdsResource } from "../protocol/response.ts";
import { shortTypeName } from "../protocol/type-url.ts";

/** The kept resources of a type. */
export interface CachedType {
  readonly version: string;
  readonly resources: ReadonlyMap<string, XdsResource>;
}

export interface CachedState {
  readonly types: ReadonlyMap<string, CachedType>;
  /** When the newest record was received. */
  readonly savedAtMs: number;
}

/** A record may be so far in the future: clocks are corrected by small steps. The age of others is not known. */
const clockToleranceMs = 300_000;

/** How old a cache may be. */
interface AgeLimit {
  /** Wall clock. */
  readonly nowMs: number;
  readonly maxAgeMs: number;
}

/**
 * Responses that Envoy has accepted, one file each, named by type, sequence number and checksum. A file gets this name
 * when it is complete, and is not changed afterwards.
 */
export class CacheStore {
  readonly #directory: string;
  readonly #queue = new SerialQueue();
  readonly #records: Budget;
  readonly #bytes: Budget;
  #sequence = 0;

  constructor(directory: string, budgets: Budgets) {
    this.#directory = directory;
    this.#records = budgets.of("xds-cache-records");
    this.#bytes = budgets.of("xds-cache-bytes");
  }

  /** Starts a record; bytes are written to disk as they come. */
  begin(head: RecordHead): PendingRecord {
    return new PendingRecord(join(this.#directory, `${randomUUID()}.part`), head, this.#bytes);
  }

  /**
   * Adds a record, after all that were added before. One that does not fit is dropped: the older ones stay.
   * @param isWhole whether it has all resources of the type: then older records are removed
   */
  keep(record: PendingRecord, isWhole = record.head.isWhole): Promise<void> {
    return this.#queue.run(async () => {
      if (record.isBroken) {
        await record.discard();
        return;
      }
      const { typeUrl } = record.head;
      const files = await this.#recordFiles();
      const older = files.filter(({ type }) => type === fileType(typeUrl));
      const kept = isWhole ? files.filter((file) => !older.includes(file)) : files;
      if (!this.#bytes.admits(record.bytes + (await this.#bytesOf(kept)))) {
        await record.discard();
        return;
      }
      await this.#seal(record, older.at(-1)?.sequence ?? 0);
      if (isWhole) await this.#remove(older);
      else if (!this.#records.admits(older.length + 1)) await this.#merge(record.head);
    });
  }

  /** Removes incomplete records of earlier runs. */
  async clean(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    await Promise.all(names.filter((name) => name.endsWith(".part")).map((name) => rm(join(this.#directory, name))));
  }

  /**
   * All records of a node, joined.
   * @returns undefined when there are none
   * @throws InvalidCacheError when a record was changed or is of another node, or the newest is too old or in the future
   */
  load(nodeId: string, age: AgeLimit): Promise<CachedState | undefined> {
    return this.#queue.run(() => this.#read(nodeId, age));
  }

  async #read(nodeId: string, { nowMs, maxAgeMs }: AgeLimit): Promise<CachedState | undefined> {
    const files = await this.#recordFiles();
    if (!this.#bytes.admits(await this.#bytesOf(files))) throw new InvalidCacheError(this.#directory, this.#bytes.text);
    const types = new Map<string, CachedType>();
    let savedAtMs = 0;
    for (const file of files) {
      const { head, body } = await readRecord(this.#directory, file);
      if (head.nodeId !== nodeId) throw new InvalidCacheError(file.name, "it is of another node");
      savedAtMs = Math.max(savedAtMs, head.savedAtMs);
      types.set(head.typeUrl, addRecord(head.isWhole ? undefined : types.get(head.typeUrl), head, body));
    }
    if (files.length === 0) return undefined;
    if (savedAtMs < nowMs - maxAgeMs) throw new InvalidCacheError(this.#directory, "it is too old");
    if (savedAtMs > nowMs + clockToleranceMs) {
      const problem = `it is from ${new Date(savedAtMs).toISOString()}, in the future: its age is not known`;
      throw new InvalidCacheError(this.#directory, problem);
    }
    return { types, savedAtMs };
  }

  async #seal(record: PendingRecord, after: number): Promise<void> {
    this.#sequence = Math.max(this.#sequence, after) + 1;
    const { path, checksum } = await record.close();
    const name = `${fileType(record.head.typeUrl)}.${String(this.#sequence).padStart(12, "0")}.${checksum}`;
    await rename(path, join(this.#directory, name));
  }

  /** Replaces all records of a type by one. */
  async #merge(head: RecordHead): Promise<void> {
    const files = (await this.#recordFiles()).filter(({ type }) => type === fileType(head.typeUrl));
    let merged: CachedType | undefined;
    for (const file of files) {
      const record = await readRecord(this.#directory, file);
      merged = addRecord(record.head.isWhole ? undefined : merged, record.head, record.body);
    }
    if (merged === undefined) return;
    const { version, resources } = merged;
    const response = { typeUrl: head.typeUrl, version, nonce: "", resources: [...resources.values()], removed: [] };
    const record = this.begin({ ...head, protocol: "delta", isWhole: true });
    try {
      await record.add(renderResponse(response, "delta"));
      await this.#seal(record, files.at(-1)?.sequence ?? 0);
    } catch (error) {
      await record.discard();
      throw error;
    }
    await this.#remove(files);
  }

  async #remove(files: readonly RecordFile[]): Promise<void> {
    await Promise.all(files.map(({ name }) => rm(join(this.#directory, name), { force: true })));
  }

  async #bytesOf(files: readonly RecordFile[]): Promise<number> {
    const sizes = files.map(
      async ({ name }) => (await stat(join(this.#directory, name)).catch(() => undefined))?.size ?? 0,
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** In the order in which they were added. */
  async #recordFiles(): Promise<RecordFile[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const files = names.map(parseRecordName).filter((file) => file !== undefined);
    return files.sort((a, b) => a.sequence - b.sequence);
  }
}

interface RecordFile {
  readonly name: string;
  readonly type: string;
  readonly sequence: number;
  readonly checksum: string;
}

function addRecord(before: CachedType | undefined, head: RecordHead, body: Uint8Array): CachedType {
  const response = parseResponse(body, head.protocol);
  const resources = new Map(before?.resources);
  for (const name of response.removed) resources.delete(name);
  for (const resource of response.resources) resources.set(resource.name, resource);
  return { version: response.version, resources };
}

/** The short name of a type, or a hash where it has none of its own. */
function fileType(typeUrl: string): string {
  const short = shortTypeName(typeUrl);
  return short === "other" ? shortHash(typeUrl, 16) : short;
}

function parseRecordName(name: string): RecordFile | undefined {
  const match = /^([a-z0-9]+)\.(\d{12})\.([0-9a-f]{64})$/.exec(name);
  if (match === null) return undefined;
  return { name, type: match[1] ?? "", sequence: Number(match[2]), checksum: match[3] ?? "" };
}
