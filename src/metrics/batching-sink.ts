// SPDX-License-Identifier: Apache-2.0
import { pooledBytes, returnBuffer, takeBuffer } from "./buffer-pool.ts";

/** Where bytes go; `write` resolves when their memory may be used again. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Pieces from here on are passed on without a copy. */
const largeBytes = 8 * 1024;

/** Puts small pieces together: a family's two comment lines are not worth a system call each. */
export class BatchingSink implements ByteSink, Disposable {
  readonly #sink: ByteSink;
  readonly #batch = takeBuffer();
  #filled = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength >= largeBytes) {
      await this.flush();
      await this.#sink.write(bytes);
      return;
    }
    if (this.#filled + bytes.byteLength > pooledBytes) await this.flush();
    this.#batch.set(bytes, this.#filled);
    this.#filled += bytes.byteLength;
  }

  async flush(): Promise<void> {
    const filled = this.#filled;
    this.#filled = 0;
    if (filled > 0) await this.#sink.write(this.#batch.subarray(0, filled));
  }

  [Symbol.dispose](): void {
    returnBuffer(this.#batch);
  }
}
