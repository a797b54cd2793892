// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from "node:net";
import { abortReason } from "../../lib/async/clock.ts";
import { ResponseReader } from "../../lib/net/response-reader.ts";
import type { ProbeAddress, ProbeLimits, ProbeResponse } from "./probe-outcome.ts";

/** One GET request over a connection of its own, without TLS. */
export interface PlainProbeRequest {
  readonly address: ProbeAddress & { readonly port: number };
  readonly path: string;
  /** Names and values alternate; Host is the first. */
  readonly headers: readonly string[];
  readonly limits: ProbeLimits;
  readonly signal: AbortSignal;
}

/**
 * Sends the request and reads as much of the response as the kubelet would; the connection is closed then. Costs half of
 * what Node.js's client takes (docs/adr/0012-status-port.md).
 * @throws BudgetSpentError when the response's headers are too large; the system's error; the signal's reason
 */
export async function sendPlainProbe(request: PlainProbeRequest): Promise<ProbeResponse> {
  if (request.signal.aborted) throw abortReason(request.signal);
  return await new PlainProbe(request).result.promise;
}

/** All connections read into it: what they keep of a response is copied at once. */
const received = Buffer.allocUnsafeSlow(16 * 1024);

class PlainProbe {
  readonly result = Promise.withResolvers<ProbeResponse>();
  readonly #request: PlainProbeRequest;
  readonly #socket: Socket;
  readonly #reader: ResponseReader;
  #status = 0;
  #location: string | undefined;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(request: PlainProbeRequest) {
    const { address, limits, signal } = request;
    this.#request = request;
    this.#reader = new ResponseReader(this, limits.headerBytes);
    const callback = (length: number): boolean => this.#read(received.subarray(0, length));
    this.#socket = connect({ ...address, onread: { buffer: received, callback } });
    this.#socket.on("error", this.#fail);
    this.#socket.on("end", this.#ended);
    signal.addEventListener("abort", this.#aborted);
    this.#socket.write(render(request), "latin1");
  }

  head(status: number, headers: ReadonlyMap<string, string>): void {
    this.#status = status;
    this.#location = headers.get("location");
  }

  piece(part: Uint8Array): boolean {
    this.#chunks.push(Buffer.from(part));
    this.#bytes += part.byteLength;
    return this.#bytes < this.#request.limits.bodyBytes.size;
  }

  #read(bytes: Uint8Array): boolean {
    try {
      const isWanted = this.#reader.feed(bytes);
      if (this.#reader.complete || !isWanted) this.#succeed();
      return isWanted;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  readonly #ended = (): void => {
    this.#reader.end();
    if (this.#reader.complete) this.#succeed();
    else this.#fail(new Error("the connection ended before the response was complete"));
  };

  #succeed(): void {
    this.#close();
    const body = joined(this.#chunks, this.#request.limits.bodyBytes.size);
    this.result.resolve({ status: this.#status, location: this.#location, body });
  }

  readonly #fail = (error: unknown): void => {
    this.#close();
    this.result.reject(error instanceof Error ? error : new Error(String(error)));
  };

  readonly #aborted = (): void => {
    this.#fail(abortReason(this.#request.signal));
  };

  #close(): void {
    this.#request.signal.removeEventListener("abort", this.#aborted);
    this.#socket.destroy();
  }
}

/** A body is one piece nearly always. */
function joined(chunks: readonly Buffer[], size: number): Uint8Array {
  const [first, ...rest] = chunks;
  if (first !== undefined && rest.length === 0 && first.byteLength <= size) return first;
  return Buffer.concat(chunks).subarray(0, size);
}

function render({ path, headers }: PlainProbeRequest): string {
  let text = `GET ${path} HTTP/1.1\r\n`;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    text += `${headers[index] ?? ""}: ${(headers[index + 1] ?? "").replaceAll(/[\r\n]+/g, " ")}\r\n`;
  }
  return `${text}\r\n`;
}
