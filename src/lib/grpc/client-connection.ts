// SPDX-License-Identifier: Apache-2.0
import { type ClientHttp2Session, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { type Clock, deadline } from "../async/clock.ts";
import { describeError } from "../errors.ts";
import { orAborted } from "../async/tasks.ts";
import { errorOfAbort } from "./client-call.ts";
import { type GrpcTarget, connectHint, dialTarget, formatTarget } from "./dial.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { GrpcError, GrpcStatus } from "./status.ts";
import { windowSettings } from "./windows.ts";

export interface ClientConnectionOptions {
  readonly target: GrpcTarget;
  /** Sent as `:authority`. */
  readonly authority: string;
  /** For name, TCP, TLS and the peer's HTTP/2 greeting together. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Pings are sent while a call is open. */
  readonly keepalive?: KeepaliveOptions;
}

interface ClientConnectionDeps {
  readonly clock: Clock;
  readonly hasOpenCalls: () => boolean;
}

/** The connection to one peer: made when it is first wanted, and anew when it was lost. */
export class ClientConnection implements AsyncDisposable {
  readonly #options: ClientConnectionOptions;
  readonly #deps: ClientConnectionDeps;
  readonly #keepalive: Keepalive | undefined;
  readonly #disposed = new AbortController();
  readonly #sessions = new Map<ClientHttp2Session, { readonly socket: Duplex; readonly gone: Promise<void> }>();
  #current: ClientHttp2Session | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;

  constructor(options: ClientConnectionOptions, deps: ClientConnectionDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#keepalive = options.keepalive && new Keepalive(options.keepalive, deps.clock);
  }

  /** The session, once the peer has greeted. @throws GrpcError; status UNAVAILABLE when it cannot be reached */
  async session(signal: AbortSignal | undefined): Promise<ClientHttp2Session> {
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(new GrpcError(GrpcStatus.cancelled, "the channel was closed"));
    await this.#connecting?.catch(() => undefined);
    const open = [...this.#sessions];
    for (const [session, { socket }] of open) {
      session.destroy();
      // A session that was closed before leaves a connection half open for as long as the peer wants.
      socket.destroy();
    }
    await Promise.all(open.map(([, { gone }]) => gone));
  }

  async #connect(): Promise<ClientHttp2Session> {
    const { target } = this.#options;
    const { clock, hasOpenCalls } = this.#deps;
    using limit = deadline(clock, this.#options.connectTimeoutMs ?? 5_000, this.#disposed.signal);
    try {
      const session = await this.#greet(limit.signal);
      this.#current = session;
      void this.#keepalive?.run(session, hasOpenCalls);
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
    this.#sessions.set(session, { socket, gone });
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

function expected(target: GrpcTarget): string {
  return target.kind === "tls" ? "HTTP/2" : "HTTP/2 without TLS; is this a TLS port?";
}
