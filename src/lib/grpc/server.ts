// SPDX-License-Identifier: Apache-2.0
import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  createServer,
} from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../async/clock.ts";
import { ControlFrameWatch } from "./control-frames.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { readWhole } from "./message.ts";
import { parseGrpcTimeout } from "./metadata.ts";
import { type ServerCall, ServerStream, type ServerStreamCall } from "./server-call.ts";
import { GrpcError, GrpcStatus } from "./status.ts";
import { type GrpcServerLimits, type ServerConnection, ServerConnections } from "./server-connections.ts";

export type { ServerCall, ServerStreamCall } from "./server-call.ts";
export type { GrpcServerLimits } from "./server-connections.ts";

/** Handles a method. Returning is OK; a thrown `GrpcError` is its status; anything else thrown is UNKNOWN. */
export type GrpcHandler =
  | { readonly kind: "unary"; handle(request: Uint8Array, call: ServerCall): Promise<Uint8Array> }
  | { readonly kind: "stream"; handle(call: ServerStreamCall): Promise<void> };

export interface GrpcServerOptions {
  /** By full path: `/package.Service/Method`. Anything else is UNIMPLEMENTED. */
  readonly methods: Readonly<Record<string, GrpcHandler>>;
  /** A longer request is handed to stream handlers in chunks. Default 64 KiB. */
  readonly chunkAboveBytes?: number;
  /** On one connection, if that is less than the limits allow. */
  readonly maxConcurrentStreams?: number;
  readonly limits: GrpcServerLimits;
  /**
   * Whether a connection is of a client that never gives way to others: its streams are accepted while memory is short,
   * and its connection in place of another one. It is asked only then. Default: no client.
   */
  readonly isPreferred?: (socket: Socket) => boolean;
  readonly keepalive?: KeepaliveOptions;
  /** Called with each error of a handler that is not a `GrpcError`. */
  readonly onFailure?: (path: string, error: unknown) => void;
}

/** After a connection was closed for a flood, the next one waits for so long: its client reconnects at once. */
const afterFloodMs = 250;

/** Serves gRPC on connections that the caller accepts. Disposing cuts every call and connection. */
export interface GrpcServer extends AsyncDisposable {
  accept(socket: Socket): void;
}

/** A gRPC server without compression. It does not listen; the caller passes connections to it. */
export function createGrpcServer(options: GrpcServerOptions, deps: { readonly clock: Clock }): GrpcServer {
  return new Http2GrpcServer(options, deps.clock);
}

class Http2GrpcServer implements GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #clock: Clock;
  readonly #methods: ReadonlyMap<string, GrpcHandler>;
  readonly #sessions = new Set<Http2Session>();
  readonly #connections: ServerConnections;
  readonly #ofSession = new WeakMap<Http2Session, ServerConnection>();
  /** The connection whose session is being made. */
  #starting: ServerConnection | undefined;
  #acceptAtMs = 0;
  readonly #calls = new Set<Promise<void>>();
  readonly #http2;
  readonly #controlFrames: ControlFrameWatch;
  #disposed = false;

  constructor(options: GrpcServerOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#connections = new ServerConnections(options, clock);
    this.#methods = new Map(Object.entries(options.methods));
    this.#controlFrames = new ControlFrameWatch(options.limits.controlBytes, clock, (session) => {
      this.#closeHostile(session);
    });
    this.#http2 = createServer({
      maxSessionMemory: 16,
      streamResetBurst: options.limits.resets.size,
      streamResetRate: options.limits.resets.size,
      settings: {
        initialWindowSize: Math.floor(options.limits.windowBytes.size / 2),
        maxConcurrentStreams: Math.min(
          options.maxConcurrentStreams ?? Number.POSITIVE_INFINITY,
          options.limits.streams.size,
        ),
      },
    });
    this.#http2.on("session", (session) => {
      this.#onSession(session);
    });
    this.#http2.on("stream", (stream: ServerHttp2Stream, headers) => {
      this.#onStream(stream, headers);
    });
  }

  accept(socket: Socket): void {
    if (this.#disposed || !this.#connections.add(socket)) {
      socket.destroy();
      return;
    }
    const waitMs = this.#acceptAtMs - this.#clock.monotonicMs();
    if (waitMs <= 0) this.#start(socket);
    else void this.#clock.delay(waitMs).then(() => this.#start(socket));
  }

  #start(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (socket.destroyed || connection === undefined) return;
    this.#starting = connection;
    this.#http2.emit("connection", socket);
    this.#starting = undefined;
    // The session has taken the socket over; one that was accepted paused would stay so.
    socket.resume();
  }

  /** Counts the stream on its connection. @returns undefined when the connection has too many */
  #countStream(stream: ServerHttp2Stream): ServerConnection | undefined {
    const { session } = stream;
    const connection = session === undefined ? undefined : this.#ofSession.get(session);
    if (session === undefined || connection === undefined) return undefined;
    if (this.#options.limits.memory.isShort() && !this.#connections.isPreferred(connection)) return undefined;
    if (!connection.streams.tryTake() && !this.#connections.takeFromOthers(connection)) return undefined;
    stream.on("close", () => {
      connection.streams.release();
      if (!stream.aborted || connection.resets.tryTakeAt(this.#clock.monotonicMs())) return;
      this.#closeHostile(session);
    });
    return connection;
  }

  #closeHostile(session: Http2Session): void {
    this.#acceptAtMs = this.#clock.monotonicMs() + afterFloodMs;
    session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const closed = [...this.#sessions].map((session) => new Promise((resolve) => session.once("close", resolve)));
    for (const session of this.#sessions) session.destroy();
    await Promise.all(closed);
    await Promise.allSettled(this.#calls);
  }

  #onSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    if (this.#starting !== undefined) {
      this.#ofSession.set(session, this.#starting);
      this.#controlFrames.add(session, this.#starting.socket);
    }
    session.on("close", () => this.#sessions.delete(session));
    session.on("error", () => undefined);
    session.setLocalWindowSize(this.#options.limits.windowBytes.size);
    const { keepalive } = this.#options;
    if (keepalive !== undefined) void new Keepalive(keepalive, this.#clock).run(session, () => true);
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // An early end of a stream reaches the handler as its signal; without a listener, the event would throw.
    stream.on("error", () => undefined);
    if (headers[":method"] !== "POST" || headers["content-type"]?.startsWith("application/grpc") !== true) {
      stream.respond({ ":status": 415 }, { endStream: true });
      return;
    }
    const connection = this.#countStream(stream);
    if (connection === undefined) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    const { partialBytes, messageBytes, memory } = this.#options.limits;
    const call = new ServerStream(stream, headers, {
      partialBytes,
      maxBytes: messageBytes,
      unread: connection.unread,
      shortage: () => (memory.isShort() && !this.#connections.isPreferred(connection) ? memory.text : undefined),
      isPreferred: () => this.#connections.isPreferred(connection),
      chunkAboveBytes: this.#options.chunkAboveBytes ?? 64 * 1024,
    });
    const handler = this.#methods.get(call.path);
    if (handler === undefined) {
      call.fail(new GrpcError(GrpcStatus.unimplemented, `nothing is served at ${call.path}`));
      return;
    }
    const run = this.#run(call, handler);
    this.#calls.add(run);
    void run.then(() => this.#calls.delete(run));
  }

  async #run(call: ServerStream, handler: GrpcHandler): Promise<void> {
    const deadline = this.#watchDeadline(call);
    try {
      if (handler.kind === "stream") await handler.handle(call);
      else await answerOnce(call, handler);
      await call.finish();
    } catch (error) {
      if (!(error instanceof GrpcError) && !call.isOver) this.#options.onFailure?.(call.path, error);
      call.fail(error);
    } finally {
      deadline?.abort();
    }
  }

  /** @returns what ends the watch; undefined for a call without a deadline, as all long streams are */
  #watchDeadline(call: ServerStream): AbortController | undefined {
    const timeoutMs = parseGrpcTimeout(call.metadata["grpc-timeout"] ?? "");
    if (timeoutMs === undefined) return undefined;
    const done = new AbortController();
    this.#clock.delay(timeoutMs, AbortSignal.any([done.signal, call.signal])).then(
      () => {
        call.fail(new GrpcError(GrpcStatus.deadlineExceeded, "the call's deadline has passed"));
      },
      () => undefined,
    );
    return done;
  }
}

async function answerOnce(call: ServerStream, handler: GrpcHandler & { readonly kind: "unary" }): Promise<void> {
  const request = await call.requests.next();
  if (request === undefined) throw new GrpcError(GrpcStatus.internal, "the call has no request message");
  await call.write(await handler.handle(await readWhole(request), call));
}
