// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import { CacheRefusedError, PendingRecord, readRecord, type RecordHead } from "./cache-record.ts";
import { parseResponse, renderResponse, type XdsResource } from "../protocol/response.ts";
import { shortTypeName } from "../protocol/type-url.ts";

/** What is known of a type. */
export interface CachedType {
  readonly version: string;
  readonly resources: ReadonlyMap<string, XdsResource>;
}

export interface CachedState {
  readonly types: ReadonlyMap<string, CachedType>;
  /** Of the youngest record. */
  readonly savedAtMs: number;
}

/** Records are put together when a type has more. */
const recordsBeforeMerge = 32;

/**
 * Answers that Envoy has accepted, as files: one for each answer, named by type, order and checksum. A record is
 * complete when it has its name; nothing is changed afterwards.
 */
export class CacheStore {
  readonly #directory: string;
  readonly #turns = new SerialQueue();
  #sequence = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Begins a record; bytes go to disk as they come. */
  begin(head: RecordHead): PendingRecord {
    return new PendingRecord(join(this.#directory, `${randomUUID()}.part`), head);
  }

  /** Puts a record into force, after all that were put before. */
  keep(record: PendingRecord): Promise<void> {
    return this.#turns.run(async () => {
      if (record.isBroken) {
        await record.discard();
        return;
      }
      const { typeUrl, isWhole } = record.head;
      const older = (await this.#recordFiles()).filter(({ type }) => type === fileType(typeUrl));
      await this.#seal(record, older.at(-1)?.sequence ?? 0);
      if (isWhole) await this.#remove(older);
      else if (older.length >= recordsBeforeMerge) await this.#merge(record.head);
    });
  }

  /** Removes what was never completed. */
  async clean(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    await Promise.all(names.filter((name) => name.endsWith(".part")).map((name) => rm(join(this.#directory, name))));
  }

  /**
   * Everything there is for a node.
   * @returns undefined when there is nothing
   * @throws CacheRefusedError when a record was changed, is of another node, or too old
   */
  load(nodeId: string, notBeforeMs: number): Promise<CachedState | undefined> {
    return this.#turns.run(() => this.#read(nodeId, notBeforeMs));
  }

  async #read(nodeId: string, notBeforeMs: number): Promise<CachedState | undefined> {
    const files = await this.#recordFiles();
    const types = new Map<string, CachedType>();
    let savedAtMs = 0;
    for (const file of files) {
      const { head, body } = await readRecord(this.#directory, file);
      if (head.nodeId !== nodeId) throw new CacheRefusedError(file.name, "it belongs to another node");
      savedAtMs = Math.max(savedAtMs, head.savedAtMs);
      types.set(head.typeUrl, addRecord(head.isWhole ? undefined : types.get(head.typeUrl), head, body));
    }
    if (files.length === 0) return undefined;
    if (savedAtMs < notBeforeMs) throw new CacheRefusedError(this.#directory, "it is too old");
    return { types, savedAtMs };
  }

  async #seal(record: PendingRecord, after: number): Promise<void> {
    this.#sequence = Math.max(this.#sequence, after) + 1;
    const { path, checksum } = await record.close();
    const name = `${fileType(record.head.typeUrl)}.${String(this.#sequence).padStart(12, "0")}.${checksum}`;
    await rename(path, join(this.#directory, name));
  }

  /** Makes one record of all of a type. */
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

  /** In the order in which they were put into force. */
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
  const answer = parseResponse(body, head.protocol);
  const resources = new Map(before?.resources);
  for (const name of answer.removed) resources.delete(name);
  for (const resource of answer.resources) resources.set(resource.name, resource);
  return { version: answer.version, resources };
}

/** Two types without a short name must not share one. */
function fileType(typeUrl: string): string {
  const short = shortTypeName(typeUrl);
  return short === "other" ? createHash("sha256").update(typeUrl).digest("hex").slice(0, 16) : short;
}

function parseRecordName(name: string): RecordFile | undefined {
  const match = /^([a-z0-9]+)\.(\d{12})\.([0-9a-f]{64})$/.exec(name);
  if (match === null) return undefined;
  return { name, type: match[1] ?? "", sequence: Number(match[2]), checksum: match[3] ?? "" };
}
