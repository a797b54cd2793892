// SPDX-License-Identifier: Apache-2.0
import { deflateRawSync, inflateRawSync } from "node:zlib";

const pieceBytes = 256 * 1024;

/**
 * Bytes that are kept compressed in memory: an archive needs the size of a file before its content, and a container may
 * have no disk to write to. JSON takes a tenth of its size.
 */
export class Spool {
  readonly #pieces: { readonly compressed: Buffer; readonly bytes: number }[] = [];
  #open: Uint8Array[] = [];
  #openBytes = 0;
  #bytes = 0;

  /** Uncompressed. */
  get bytes(): number {
    return this.#bytes;
  }

  write(data: string | Uint8Array): void {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    this.#open.push(bytes);
    this.#openBytes += bytes.length;
    this.#bytes += bytes.length;
    if (this.#openBytes >= pieceBytes) this.#close();
  }

  /** What was written, in its order. */
  *chunks(): Generator<Buffer> {
    this.#close();
    for (const { compressed, bytes } of this.#pieces) yield inflateRawSync(compressed, { maxOutputLength: bytes });
  }

  /** As text. For small content. */
  text(): string {
    return Buffer.concat([...this.chunks()]).toString("utf8");
  }

  #close(): void {
    if (this.#openBytes === 0) return;
    const compressed = deflateRawSync(Buffer.concat(this.#open), { level: 1 });
    this.#pieces.push({ compressed, bytes: this.#openBytes });
    this.#open = [];
    this.#openBytes = 0;
  }
}
