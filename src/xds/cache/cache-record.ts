// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Budget } from "../../lib/budget.ts";
import { AgentError } from "../../lib/errors.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import { makeDirectorySync } from "../../lib/fs/make-directory.ts";
import { sha256Hex } from "../../lib/content-hash.ts";
import type { XdsProtocol } from "../protocol/request.ts";

/** The first line of each record. It shows which node, type and version of the format the record is for. */
export interface RecordHead {
  readonly format: 1;
  /** Version of the xDS API. */
  readonly api: "v3";
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly protocol: XdsProtocol;
  readonly savedAtMs: number;
  /** Whether the record has all resources of the type, or changes those of older records. */
  readonly isWhole: boolean;
}

/** The cache is not valid for this start; Envoy waits for the control plane. */
export class InvalidCacheError extends AgentError {
  readonly code = "AGENT_XDS_CACHE";
  readonly file: string;
  constructor(file: string, problem: string, cause?: unknown) {
    super(`read the xDS cache ${file}: ${problem}`, { cause });
    this.file = file;
  }
}

/**
 * A record that is being written. Its file is open from the first bytes until the record is closed or discarded. One of
 * the two must happen: in Node 26 a file handle that is garbage collected while open ends the process.
 */
export class PendingRecord {
  readonly head: RecordHead;
  readonly #path: string;
  readonly #hash: Hash = createHash("sha256");
  readonly #queue = new SerialQueue();
  /** All of the response has been written. */
  isComplete = false;
  #isBroken = false;
  #file: FileHandle | undefined;
  /** What is on disk of records that are not kept yet. */
  readonly #bytes: Budget;

  /** @param bytes on disk, of all records that are being written */
  constructor(path: string, head: RecordHead, bytes: Budget) {
    this.#path = path;
    this.head = head;
    this.#bytes = bytes.child();
  }

  get bytes(): number {
    return this.#bytes.used;
  }

  /** A write failed, or the record was discarded: the file is not the whole response. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Drops the bytes when the record is broken. @throws the system's error */
  add(bytes: Uint8Array): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#isBroken) return;
      try {
        if (this.#file === undefined) {
          makeDirectorySync(dirname(this.#path), 0o700);
          this.#file = await open(this.#path, "wx", 0o600);
          await this.#write(this.#file, Buffer.from(`${JSON.stringify(this.head)}\n`));
        }
        if (this.#bytes.tryTake(bytes.length)) await this.#write(this.#file, bytes);
        else this.#isBroken = true;
      } catch (error) {
        this.#isBroken = true;
        throw error;
      }
    });
  }

  discard(): Promise<void> {
    this.#isBroken = true;
    return this.#queue.run(async () => {
      await this.#close();
      this.#bytes[Symbol.dispose]();
      await rm(this.#path, { force: true });
    });
  }

  close(): Promise<{ readonly path: string; readonly checksum: string }> {
    return this.#queue.run(async () => {
      await this.#close();
      this.#bytes[Symbol.dispose]();
      return { path: this.#path, checksum: this.#hash.digest("hex") };
    });
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #write(file: FileHandle, bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await file.appendFile(bytes);
  }
}

/** @throws InvalidCacheError when the record was changed, or is of another version; or the system's error */
export async function readRecord(
  directory: string,
  { name, checksum }: { readonly name: string; readonly checksum: string },
): Promise<{ readonly head: RecordHead; readonly body: Uint8Array }> {
  const bytes = await readFile(join(directory, name));
  if ((await sha256Hex(bytes)) !== checksum) throw new InvalidCacheError(name, "checksum mismatch");
  const end = bytes.indexOf("\n");
  return { head: parseHead(bytes.subarray(0, end).toString("utf8"), name), body: bytes.subarray(end + 1) };
}

/** A record without this format and API is of another program, or of another version of this one. */
function parseHead(text: string, file: string): RecordHead {
  const head = JSON.parse(text) as Partial<RecordHead>;
  if (head.format !== 1 || head.api !== "v3") throw new InvalidCacheError(file, "unknown format version");
  return head as RecordHead;
}
