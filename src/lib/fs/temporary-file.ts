// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "../errors.ts";
import { randomText } from "./atomic-file.ts";
import { makeDirectorySync } from "./make-directory.ts";

const pieceBytes = 64 * 1024;

/**
 * A file of any size that is written piece by piece, off the event loop, and gets its name when it is complete: a reader
 * of that name sees the old content or the new, never a part. Its mode is set on the open file. Disposing it removes it,
 * unless it has its name by then. The asynchronous form of `writeFileAtomicSync`.
 */
export class TemporaryFile implements AsyncDisposable {
  readonly #path: string;
  readonly #handle: FileHandle;
  #bytes = 0;
  #isNamed = false;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /**
   * @param directory of the final name; created with mode 0755 when it is missing
   * @throws the system's error
   */
  static async create(directory: string, mode: number): Promise<TemporaryFile> {
    for (let attempt = 0; ; attempt++) {
      makeDirectorySync(directory, 0o755);
      const path = join(directory, `${randomText()}.tmp`);
      try {
        const handle = await open(path, "wx+", mode);
        const file = new TemporaryFile(path, handle);
        await handle.chmod(mode).catch(async (error: unknown) => {
          await file[Symbol.asyncDispose]();
          throw error;
        });
        return file;
      } catch (error) {
        // Another part of the program has removed the empty directory.
        if (systemCode(error) !== "ENOENT" || attempt > 0) throw error;
      }
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends. @throws the system's error */
  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, at, chunk.length - at, this.#bytes);
      this.#bytes += bytesWritten;
      at += bytesWritten;
    }
  }

  /** Removes what was written. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#bytes = 0;
  }

  /** What was written, from the beginning. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    return chunksOf(this.#handle);
  }

  /** Replaces a file of the same file system, and closes this one. @throws the system's error */
  async moveTo(path: string): Promise<void> {
    await rename(this.#path, path);
    this.#isNamed = true;
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isNamed) return;
    await this.#handle.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }
}

/**
 * Opens an ordinary file that others may have put there: no link is followed, and what is no file is not waited for.
 * @returns undefined when there is none of at most `maxBytes`
 */
export async function openPlainFile(path: string, maxBytes: number): Promise<FileHandle | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch(() => undefined);
  if (handle === undefined) return undefined;
  const status = await handle.stat().catch(() => undefined);
  if (status?.isFile() === true && status.size <= maxBytes) return handle;
  await handle.close();
  return undefined;
}

/** The content of a file in pieces of 64 KiB; the handle stays open. @throws the system's error */
export async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; ; ) {
    const chunk = await readAt(handle, at, Buffer.allocUnsafeSlow(pieceBytes));
    if (chunk.length === 0) return;
    at += chunk.length;
    yield chunk;
  }
}

/** SHA-256 of a file in hex. The handle stays open. @throws the system's error */
export async function fileSha256(handle: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (let at = 0; ; ) {
    const chunk = await readAt(handle, at, buffer);
    if (chunk.length === 0) return hash.digest("hex");
    at += chunk.length;
    hash.update(chunk);
  }
}

async function readAt(handle: FileHandle, at: number, buffer: Buffer): Promise<Uint8Array> {
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
  return buffer.subarray(0, bytesRead);
}
