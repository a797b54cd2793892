// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AgentError } from "../../lib/errors.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import { makeDirectorySync } from "../../lib/fs/make-directory.ts";
import { sha256Hex } from "../../lib/content-hash.ts";
import type { XdsProtocol } from "../protocol/request.ts";

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

/** The cache cannot be used; Envoy waits for the control plane. */
export class CacheRefusedError extends AgentError {
  readonly code = "AGENT_XDS_CACHE";
  readonly file: string;
  constructor(file: string, problem: string, cause?: unknown) {
    super(`read the xDS cache ${file}: ${problem}; it is not used`, { cause });
    this.file = file;
  }
}

/**
 * A record that is being written. Its file is open from the first bytes until it is closed or discarded, and one of the
 * two must happen: a file that nobody closes ends the process when the engine finds it (Node 26).
 */
export class PendingRecord {
  readonly head: RecordHead;
  readonly #path: string;
  readonly #hash: Hash = createHash("sha256");
  readonly #turns = new SerialQueue();
  /** All of the answer has been read. */
  isComplete = false;
  #isBroken = false;
  #file: FileHandle | undefined;

  constructor(path: string, head: RecordHead) {
    this.#path = path;
    this.head = head;
  }

  /** A write failed, or the record was discarded; what is there is not the answer. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** What comes after a failure, or after the record was discarded, is dropped. @throws the system's error */
  add(bytes: Uint8Array): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#isBroken) return;
      try {
        if (this.#file === undefined) {
          makeDirectorySync(dirname(this.#path), 0o700);
          this.#file = await open(this.#path, "wx", 0o600);
          await this.#write(this.#file, Buffer.from(`${JSON.stringify(this.head)}\n`));
        }
        await this.#write(this.#file, bytes);
      } catch (error) {
        this.#isBroken = true;
        throw error;
      }
    });
  }

  discard(): Promise<void> {
    this.#isBroken = true;
    return this.#turns.run(async () => {
      await this.#close();
      await rm(this.#path, { force: true });
    });
  }

  close(): Promise<{ readonly path: string; readonly checksum: string }> {
    return this.#turns.run(async () => {
      await this.#close();
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

/** @throws CacheRefusedError when it was changed, or is of another version; or the system's error */
export async function readRecord(
  directory: string,
  { name, checksum }: { readonly name: string; readonly checksum: string },
): Promise<{ readonly head: RecordHead; readonly body: Uint8Array }> {
  const bytes = await readFile(join(directory, name));
  if ((await sha256Hex(bytes)) !== checksum) throw new CacheRefusedError(name, "its checksum is wrong");
  const end = bytes.indexOf("\n");
  return { head: parseHead(bytes.subarray(0, end).toString("utf8"), name), body: bytes.subarray(end + 1) };
}

/** What is checked is what this version writes; anything else is from another program or another version of it. */
function parseHead(text: string, file: string): RecordHead {
  const head = JSON.parse(text) as Partial<RecordHead>;
  if (head.format !== 1 || head.api !== "v3") throw new CacheRefusedError(file, "it is of another version");
  return head as RecordHead;
}
