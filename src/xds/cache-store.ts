// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../lib/errors.ts";
import type { XdsProtocol } from "./request.ts";
import { parseResponse, renderResponse, type XdsResource } from "./response.ts";
import { shortTypeName } from "./type-url.ts";

/** What stands at the head of each record, so that a foreign one is known. */
export interface RecordHead {
  readonly format: 1;
  /** Of Envoy's xDS. */
  readonly api: "v3";
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly protocol: XdsProtocol;
  readonly savedAtMs: number;
  /** Whether it stands for the whole type, or for a change of what older records say. */
  readonly isWhole: boolean;
}

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

/** The cache cannot be used; Envoy waits for the control plane. */
export class CacheRefusedError extends AgentError {
  readonly code = "AGENT_XDS_CACHE";
  readonly file: string;
  constructor(file: string, problem: string, cause?: unknown) {
    super(`read the xDS cache ${file}: ${problem}; it is not used`, { cause });
    this.file = file;
  }
}

/** Records are put together when a type has more. */
const recordsBeforeMerge = 32;

/**
 * Answers that Envoy has accepted, as files: one for each answer, named by type, order and checksum. A record is
 * complete when it has its name; nothing is changed afterwards.
 */
export class CacheStore {
  readonly #directory: string;
  #sequence = 0;
  #work: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Begins a record; bytes go to disk as they come. */
  begin(head: RecordHead): PendingRecord {
    return new PendingRecord(join(this.#directory, `${randomUUID()}.part`), head);
  }

  /** Puts a record into force, after all that were put before. */
  keep(record: PendingRecord): Promise<void> {
    return this.#inTurn(async () => {
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
  async load(nodeId: string, notBeforeMs: number): Promise<CachedState | undefined> {
    const files = await this.#recordFiles();
    const types = new Map<string, CachedType>();
    let savedAtMs = 0;
    for (const file of files) {
      const { head, body } = await this.#readRecord(file);
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
      const record = await this.#readRecord(file);
      merged = addRecord(record.head.isWhole ? undefined : merged, record.head, record.body);
    }
    if (merged === undefined) return;
    const { version, resources } = merged;
    const response = { typeUrl: head.typeUrl, version, nonce: "", resources: [...resources.values()], removed: [] };
    const record = this.begin({ ...head, protocol: "delta", isWhole: true });
    await record.add(renderResponse(response, "delta"));
    await this.#seal(record, files.at(-1)?.sequence ?? 0);
    await this.#remove(files);
  }

  async #readRecord(file: RecordFile): Promise<{ readonly head: RecordHead; readonly body: Uint8Array }> {
    const bytes = await readFile(join(this.#directory, file.name));
    if (createHash("sha256").update(bytes).digest("hex") !== file.checksum) {
      throw new CacheRefusedError(file.name, "its checksum is wrong");
    }
    const end = bytes.indexOf("\n");
    return { head: parseHead(bytes.subarray(0, end).toString("utf8"), file.name), body: bytes.subarray(end + 1) };
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

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    return done;
  }
}

/** A record that is being written. */
export class PendingRecord {
  readonly head: RecordHead;
  readonly #path: string;
  readonly #hash: Hash = createHash("sha256");
  /** All of the answer has been read. */
  isComplete = false;
  /** A write failed; what is there is not the answer. */
  isBroken = false;
  #file: FileHandle | undefined;

  constructor(path: string, head: RecordHead) {
    this.#path = path;
    this.head = head;
  }

  async add(bytes: Uint8Array): Promise<void> {
    try {
      if (this.#file === undefined) {
        await mkdir(join(this.#path, ".."), { recursive: true, mode: 0o700 });
        this.#file = await open(this.#path, "wx", 0o600);
        await this.#write(Buffer.from(`${JSON.stringify(this.head)}\n`));
      }
      await this.#write(bytes);
    } catch (error) {
      this.isBroken = true;
      throw error;
    }
  }

  async discard(): Promise<void> {
    this.isBroken = true;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
    await rm(this.#path, { force: true });
  }

  async close(): Promise<{ readonly path: string; readonly checksum: string }> {
    await this.#file?.close();
    return { path: this.#path, checksum: this.#hash.digest("hex") };
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await this.#file?.write(bytes);
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

/** What is checked is what this version writes; anything else is from another program or another version of it. */
function parseHead(text: string, file: string): RecordHead {
  const head = JSON.parse(text) as Partial<RecordHead>;
  if (head.format !== 1 || head.api !== "v3") throw new CacheRefusedError(file, "it is of another version");
  return head as RecordHead;
}
