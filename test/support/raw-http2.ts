// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";

/** Types of HTTP/2 frames. Source: RFC 9113, section 6 */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4 } as const;

/** One frame. Source: RFC 9113, section 4.1 */
export function frame(type: number, stream: number, payload: Uint8Array = new Uint8Array(0), flags = 0): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** A header as a literal that is neither compressed nor indexed. Source: RFC 7541, section 6.2.2 */
export function literalHeader(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), literal(name), literal(value)]);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** Source: RFC 7541, section 5.1, with a prefix of seven bits */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let left = value - 127;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

/** A client of a Unix socket that writes HTTP/2 frames by hand, and reads nothing unless it is resumed. */
export class RawHttp2Client implements AsyncDisposable {
  readonly socket: Socket;
  readonly #closed: Promise<unknown>;

  static async connect(path: string, settings: Uint8Array = new Uint8Array(0)): Promise<RawHttp2Client> {
    const socket = connect(path);
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(frame(frameType.settings, 0, settings));
    return new RawHttp2Client(socket);
  }

  constructor(socket: Socket) {
    this.socket = socket;
    this.#closed = new Promise((resolve) => socket.once("close", resolve));
  }

  get isOpen(): boolean {
    return !this.socket.destroyed;
  }

  /** Writes as fast as the peer reads, until the time is over or the peer closes. @returns bytes written */
  async flood(bytes: (round: number) => Uint8Array, forMs: number): Promise<number> {
    const endMs = performance.now() + forMs;
    let written = 0;
    for (let round = 0; performance.now() < endMs && this.isOpen; round++) {
      const part = bytes(round);
      written += part.length;
      if (!this.socket.write(part)) await this.#untilWritable(endMs);
      if (round % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return written;
  }

  async #untilWritable(endMs: number): Promise<void> {
    const stop = new AbortController();
    const drained = new Promise((resolve) => this.socket.once("drain", resolve));
    const late = setTimeout(Math.max(1, endMs - performance.now()), undefined, { signal: stop.signal });
    await Promise.race([drained, this.#closed, late]).finally(() => {
      stop.abort();
    });
    await late.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.#closed;
  }
}
