// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash } from "node:crypto";
import type { Budget } from "../../lib/budget.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { TemporaryFile } from "../../lib/fs/temporary-file.ts";
import { isWasm, type ModuleSink } from "./unpack.ts";

const mode = 0o644;

/** The cache cannot be written: the disk is full, for instance. */
export class CacheWriteError extends AgentError {
  readonly code = "AGENT_WASM_CACHE";
  constructor(directory: string, cause: unknown) {
    super(`cannot write to ${directory}: ${describeError(cause)}`, { cause });
  }
}

export interface CacheFileOptions {
  /** Where the file gets its name. */
  readonly directory: string;
  /** Of this file alone. */
  readonly diskBytes: Budget;
  readonly memoryBytes: Budget;
  /** Removes older files until there is space, or throws BudgetSpentError. */
  readonly takeDisk: (share: Budget, bytes: number) => Promise<void>;
  /** Aborts when the fetch has ended. */
  readonly signal: AbortSignal;
}

/** A file that is being written to the cache. Its SHA-256 is computed while it is written. */
export class CacheFile implements ModuleSink, AsyncDisposable {
  readonly #options: CacheFileOptions;
  readonly #file: TemporaryFile;
  #hash: Hash = createHash("sha256");
  #head: Uint8Array = new Uint8Array(0);

  private constructor(options: CacheFileOptions, file: TemporaryFile) {
    this.#options = options;
    this.#file = file;
  }

  /** @throws CacheWriteError */
  static async create(options: CacheFileOptions): Promise<CacheFile> {
    const { directory } = options;
    return new CacheFile(options, await written(directory, TemporaryFile.create(directory, mode)));
  }

  get bytes(): number {
    return this.#file.bytes;
  }

  /** Whether what was written begins as a module does. */
  get isModule(): boolean {
    return isWasm(this.#head);
  }

  /** Of what was written. */
  sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  /** @throws CacheWriteError; BudgetSpentError when the cache is full of modules in use; the signal's reason */
  async write(chunk: Uint8Array): Promise<void> {
    const { directory, diskBytes, memoryBytes, takeDisk, signal } = this.#options;
    signal.throwIfAborted();
    const fits = memoryBytes.charge(chunk.length);
    try {
      await takeDisk(diskBytes, chunk.length);
      if (this.#head.length < 8) this.#head = Buffer.concat([this.#head, chunk.subarray(0, 8 - this.#head.length)]);
      this.#hash.update(chunk);
      await written(directory, this.#file.write(chunk));
    } finally {
      memoryBytes.release(chunk.length);
    }
    if (!fits) await memoryBytes.untilFree(signal);
  }

  async restart(): Promise<void> {
    const { directory, diskBytes } = this.#options;
    await written(directory, this.#file.restart());
    diskBytes.release(diskBytes.used);
    this.#hash = createHash("sha256");
    this.#head = new Uint8Array(0);
  }

  chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#file.chunks();
  }

  /** Gives the file its name. @throws CacheWriteError */
  async moveTo(path: string): Promise<void> {
    await written(this.#options.directory, this.#file.moveTo(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
    this.#options.diskBytes[Symbol.dispose]();
  }
}

async function written<T>(directory: string, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    throw new CacheWriteError(directory, error);
  }
}
