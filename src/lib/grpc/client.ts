// SPDX-License-Identifier: Apache-2.0
import { type Clock, DeadlineError, deadline } from "../async/clock.ts";
import { ClientCall, type ClientStream, errorOfAbort, openStream } from "./client-call.ts";
import { ClientConnection, type ClientConnectionOptions } from "./client-connection.ts";
import { formatTarget } from "./dial.ts";
import { readWhole } from "./message.ts";
import { type Metadata, formatGrpcTimeout } from "./metadata.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

export type { ClientStream } from "./client-call.ts";
export type { GrpcTarget } from "./dial.ts";

export interface GrpcChannelOptions extends ClientConnectionOptions {
  /** A longer message is RESOURCE_EXHAUSTED. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
}

export interface GrpcCallOptions {
  readonly metadata?: Metadata;
  /** From now, including the time to connect. The peer receives what remains of it. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A longer message of a stream is handed on in chunks. */
const chunkAboveBytes = 64 * 1024;

/** Calls to one peer over one connection, which is made for the first call and again after it was lost. */
export interface GrpcChannel extends AsyncDisposable {
  /** @throws GrpcError; status UNAVAILABLE when the peer cannot be reached */
  unary(path: string, request: Uint8Array, options?: GrpcCallOptions): Promise<Uint8Array>;
  /** Resolves when the connection is established and the call has been sent. @throws GrpcError as `unary` does */
  stream(path: string, options?: GrpcCallOptions): Promise<ClientStream>;
}

/** A gRPC client without compression and without retries; the caller retries. */
export function createGrpcChannel(options: GrpcChannelOptions, deps: { readonly clock: Clock }): GrpcChannel {
  return new Http2GrpcChannel(options, deps.clock);
}

class Http2GrpcChannel implements GrpcChannel {
  readonly #options: GrpcChannelOptions;
  readonly #clock: Clock;
  readonly #connection: ClientConnection;
  #openCalls = 0;

  constructor(options: GrpcChannelOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#connection = new ClientConnection(options, { clock, hasOpenCalls: () => this.#openCalls > 0 });
  }

  async unary(path: string, request: Uint8Array, options: GrpcCallOptions = {}): Promise<Uint8Array> {
    using limit = this.#limit(options);
    const signal = limit.signal ?? options.signal;
    using call = await this.#open(path, { ...options, ...(signal === undefined ? {} : { signal }) }, limit.endMs);
    // A peer may respond before it has read the whole request: then the response is the result, not the failed write.
    const sent = call.write(request).then(() => call.end());
    sent.catch(() => undefined);
    let response: Uint8Array | undefined;
    for await (const message of call.responses) {
      if (response !== undefined) throw new GrpcError(GrpcStatus.internal, `${path} sent more than one response`);
      response = await readWhole(message);
    }
    if (response === undefined) throw new GrpcError(GrpcStatus.internal, `${path} ended with OK and no response`);
    return response;
  }

  async stream(path: string, options: GrpcCallOptions = {}): Promise<ClientStream> {
    const limit = this.#limit(options);
    try {
      const signal = limit.signal ?? options.signal;
      const call = await this.#open(path, { ...options, ...(signal === undefined ? {} : { signal }) }, limit.endMs);
      void call.untilClosed().then(() => {
        limit[Symbol.dispose]();
      });
      return call;
    } catch (error) {
      limit[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  /** The call's time limit as a signal; undefined if it has none. */
  #limit({ timeoutMs, signal }: GrpcCallOptions): CallLimit {
    if (timeoutMs === undefined) return { signal: undefined, endMs: undefined, [Symbol.dispose]: () => undefined };
    const controller = new AbortController();
    const over = deadline(this.#clock, timeoutMs, signal);
    over.signal.addEventListener("abort", () => {
      const isLate = over.signal.reason instanceof DeadlineError && signal?.aborted !== true;
      const text = `no response within ${String(timeoutMs)} ms`;
      controller.abort(isLate ? new GrpcError(GrpcStatus.deadlineExceeded, text) : errorOfAbort(over.signal));
    });
    return {
      signal: controller.signal,
      endMs: this.#clock.monotonicMs() + timeoutMs,
      [Symbol.dispose]: () => {
        over[Symbol.dispose]();
      },
    };
  }

  async #open(path: string, { metadata, signal }: GrpcCallOptions, endMs: number | undefined): Promise<ClientCall> {
    const session = await this.#connection.session(signal);
    const { target, authority } = this.#options;
    const headers = {
      ":method": "POST",
      ":scheme": target.kind === "tls" ? "https" : "http",
      ":authority": authority,
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "attache-grpc",
      ...(endMs === undefined ? {} : { "grpc-timeout": formatGrpcTimeout(endMs - this.#clock.monotonicMs()) }),
      ...metadata,
    };
    const stream = openStream(session, headers, formatTarget(target));
    this.#openCalls++;
    stream.on("close", () => this.#openCalls--);
    return new ClientCall(stream, {
      limits: {
        maxBytes: this.#options.maxReceiveBytes ?? 4 * 1024 * 1024,
        chunkAboveBytes,
      },
      target: formatTarget(target),
      signal,
      isConnected: () => !session.destroyed && !session.closed,
    });
  }
}

interface CallLimit extends Disposable {
  readonly signal: AbortSignal | undefined;
  readonly endMs: number | undefined;
}
