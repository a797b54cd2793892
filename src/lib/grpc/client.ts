// SPDX-License-Identifier: Apache-2.0
import { type ClientHttp2Session, connect } from "node:http2";
import { type Clock, DeadlineError, deadline } from "../clock.ts";
import { describeError } from "../errors.ts";
import { orAborted } from "../tasks.ts";
import { ClientCall, type ClientStream, errorOfAbort } from "./client-call.ts";
import { type GrpcTarget, connectHint, dialTarget, formatTarget } from "./dial.ts";
import { type KeepaliveOptions, keepAlive } from "./keepalive.ts";
import { readWhole } from "./message.ts";
import { type Metadata, formatGrpcTimeout } from "./metadata.ts";
import { GrpcError, GrpcStatus } from "./status.ts";
import { windowSettings } from "./windows.ts";

export type { ClientStream } from "./client-call.ts";
export type { GrpcTarget } from "./dial.ts";

export interface GrpcChannelOptions {
  readonly target: GrpcTarget;
  /** Sent as `:authority`. */
  readonly authority: string;
  /** For name, TCP, TLS and the peer's HTTP/2 greeting together. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Pings are sent while a call is open. */
  readonly keepalive?: KeepaliveOptions;
  /** A longer message is RESOURCE_EXHAUSTED. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** A longer message of a stream is handed on in chunks. Default 64 KiB. */
  readonly chunkAboveBytes?: number;
}

export interface GrpcCallOptions {
  readonly metadata?: Metadata;
  /** From now, with the time to connect; the peer is told what is left of it. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Calls to one peer over one connection, which is made at the first call and anew when it was lost. */
export interface GrpcChannel extends AsyncDisposable {
  /** @throws GrpcError; status UNAVAILABLE when the peer cannot be reached */
  unary(path: string, request: Uint8Array, options?: GrpcCallOptions): Promise<Uint8Array>;
  /** Resolves when the connection stands and the call is on its way. @throws GrpcError as `unary` does */
  stream(path: string, options?: GrpcCallOptions): Promise<ClientStream>;
}

/** A gRPC client without compression and without retries: what fails is the caller's to repeat. */
export function createGrpcChannel(options: GrpcChannelOptions, deps: { readonly clock: Clock }): GrpcChannel {
  return new Http2GrpcChannel(options, deps.clock);
}

class Http2GrpcChannel implements GrpcChannel {
  readonly #options: GrpcChannelOptions;
  readonly #clock: Clock;
  readonly #disposed = new AbortController();
  /** With what resolves when the session's connection is gone. */
  readonly #sessions = new Map<ClientHttp2Session, Promise<void>>();
  #current: ClientHttp2Session | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;
  #openCalls = 0;

  constructor(options: GrpcChannelOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  async unary(path: string, request: Uint8Array, options: GrpcCallOptions = {}): Promise<Uint8Array> {
    using limit = this.#limit(options);
    const signal = limit.signal ?? options.signal;
    using call = await this.#open(path, { ...options, ...(signal === undefined ? {} : { signal }) }, limit.endMs);
    // A peer may answer before it has read the request; then its answer counts, not that the rest was not wanted.
    const sent = call.write(request).then(() => call.end());
    sent.catch(() => undefined);
    let answer: Uint8Array | undefined;
    for await (const message of call.responses) {
      if (answer !== undefined) throw new GrpcError(GrpcStatus.internal, `${path} was answered more than once`);
      answer = await readWhole(message);
    }
    if (answer === undefined) throw new GrpcError(GrpcStatus.internal, `${path} was answered with OK and no message`);
    return answer;
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(new GrpcError(GrpcStatus.cancelled, "the channel was closed"));
    await this.#connecting?.catch(() => undefined);
    const closed = [...this.#sessions.values()];
    for (const session of this.#sessions.keys()) session.destroy();
    await Promise.all(closed);
  }

  /** The call's time limit as a signal; nothing when it has none. */
  #limit({ timeoutMs, signal }: GrpcCallOptions): CallLimit {
    if (timeoutMs === undefined) return { signal: undefined, endMs: undefined, [Symbol.dispose]: () => undefined };
    const controller = new AbortController();
    const over = deadline(this.#clock, timeoutMs, signal);
    over.signal.addEventListener("abort", () => {
      const isLate = over.signal.reason instanceof DeadlineError && signal?.aborted !== true;
      const text = `no answer within ${String(timeoutMs)} ms`;
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
    const session = await this.#connected(signal);
    const { target, authority } = this.#options;
    const stream = session.request({
      ":method": "POST",
      ":scheme": target.kind === "tls" ? "https" : "http",
      ":authority": authority,
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "attache-grpc",
      ...(endMs === undefined ? {} : { "grpc-timeout": formatGrpcTimeout(endMs - this.#clock.monotonicMs()) }),
      ...metadata,
    });
    this.#openCalls++;
    stream.on("close", () => this.#openCalls--);
    return new ClientCall(stream, {
      limits: {
        maxBytes: this.#options.maxReceiveBytes ?? 4 * 1024 * 1024,
        chunkAboveBytes: this.#options.chunkAboveBytes ?? 64 * 1024,
      },
      target: formatTarget(target),
      signal,
      isConnected: () => !session.destroyed && !session.closed,
    });
  }

  async #connected(signal: AbortSignal | undefined): Promise<ClientHttp2Session> {
    if (this.#disposed.signal.aborted) throw errorOfAbort(this.#disposed.signal);
    if (signal?.aborted === true) throw errorOfAbort(signal);
    if (this.#current !== undefined && !this.#current.closed && !this.#current.destroyed) return this.#current;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    if (signal === undefined) return this.#connecting;
    try {
      return await orAborted(this.#connecting, signal);
    } catch (error) {
      throw error instanceof GrpcError ? error : errorOfAbort(signal);
    }
  }

  async #connect(): Promise<ClientHttp2Session> {
    const { target, keepalive } = this.#options;
    using limit = deadline(this.#clock, this.#options.connectTimeoutMs ?? 5_000, this.#disposed.signal);
    try {
      const session = await this.#greet(limit.signal);
      this.#current = session;
      if (keepalive !== undefined) void keepAlive(session, keepalive, this.#clock, () => this.#openCalls > 0);
      return session;
    } catch (error) {
      if (error instanceof GrpcError) throw error;
      const hint = connectHint(error, target);
      const text = `connect to ${formatTarget(target)}: ${hint ?? describeError(error)}`;
      throw new GrpcError(GrpcStatus.unavailable, text, { cause: error });
    }
  }

  /** Dials and waits for the peer's settings: before them it may be anything that accepts connections. */
  async #greet(signal: AbortSignal): Promise<ClientHttp2Session> {
    const { target, authority } = this.#options;
    const socket = await dialTarget(target, signal);
    const greeted = Promise.withResolvers<undefined>();
    // The session is silent about a connection that is lost around its creation, as by a TLS alert after the handshake.
    const gone = new Promise<void>((resolve) => {
      socket.once("error", (error) => {
        greeted.reject(error);
        socket.destroy();
        resolve();
      });
      socket.once("close", () => {
        greeted.reject(new Error(`the peer closed the connection before it spoke ${expected(target)}`));
        resolve();
      });
      if (socket.destroyed) socket.emit("close");
    });
    const session = connect(`${target.kind === "tls" ? "https" : "http"}://${authority}`, {
      createConnection: () => socket,
      maxSessionMemory: 64,
      settings: { enablePush: false, initialWindowSize: windowSettings.streamBytes },
    });
    this.#sessions.set(session, gone);
    session.once("remoteSettings", () => {
      greeted.resolve(undefined);
    });
    session.on("connect", () => {
      session.setLocalWindowSize(windowSettings.connectionBytes);
    });
    session.on("error", greeted.reject);
    void gone.then(() => {
      this.#sessions.delete(session);
      if (!session.destroyed) session.destroy();
    });
    try {
      await orAborted(greeted.promise, signal);
      return session;
    } catch (error) {
      session.destroy();
      throw error;
    }
  }
}

interface CallLimit extends Disposable {
  readonly signal: AbortSignal | undefined;
  readonly endMs: number | undefined;
}

function expected(target: GrpcTarget): string {
  return target.kind === "tls" ? "HTTP/2" : "HTTP/2 without TLS; is this a TLS port?";
}
