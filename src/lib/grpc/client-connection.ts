// SPDX-License-Identifier: Apache-2.0
import { type ClientHttp2Session, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { type Clock, deadline } from "../async/clock.ts";
import { describeError } from "../errors.ts";
import { orAborted } from "../async/tasks.ts";
import { errorOfAbort } from "./client-call.ts";
import { type GrpcTarget, connectHint, dialTarget, formatTarget } from "./dial.ts";
import { explainAlert } from "../net/tls-handshake.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { GrpcError, GrpcStatus } from "./status.ts";
import { defaultWindowBytes } from "./message-reader.ts";

export interface ClientConnectionOptions {
  readonly target: GrpcTarget;
  /** Sent as `:authority`. */
  readonly authority: string;
  /** For name, TCP, TLS and the peer's HTTP/2 greeting together. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Pings are sent while a call is open. */
  readonly keepalive?: KeepaliveOptions;
  /** What the peer may send ahead of its reader. Default 2 MiB. */
  readonly windowBytes?: number;
}

/**
 * The states of a connection.
 * - `idle`: there is none: no call was made yet, or it could not be made. The next call connects.
 * - `connecting`: dialling, or waiting for the peer's settings. All calls wait for the same attempt.
 * - `open`: calls use the session. One that was closed or lost stays here until the next call connects again.
 * - `disposed`: no further call is possible.
 */
type ConnectionState =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly session: Promise<ClientHttp2Session> }
  | { readonly kind: "open"; readonly session: ClientHttp2Session }
  | { readonly kind: "disposed" };

interface ClientConnectionDeps {
  readonly clock: Clock;
  readonly hasOpenCalls: () => boolean;
}

/** The connection to one peer: made for the first call, and again after it was lost. */
export class ClientConnection implements AsyncDisposable {
  readonly #options: ClientConnectionOptions;
  readonly #deps: ClientConnectionDeps;
  readonly #keepalive: Keepalive | undefined;
  readonly #disposed = new AbortController();
  readonly #sessions = new Map<ClientHttp2Session, { readonly socket: Duplex; readonly gone: Promise<void> }>();
  #state: ConnectionState = { kind: "idle" };

  constructor(options: ClientConnectionOptions, deps: ClientConnectionDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#keepalive = options.keepalive && new Keepalive(options.keepalive, deps.clock);
  }

  /** The session, once the peer has greeted. @throws GrpcError; status UNAVAILABLE when it cannot be reached */
  async session(signal: AbortSignal | undefined): Promise<ClientHttp2Session> {
    if (this.#disposed.signal.aborted) throw errorOfAbort(this.#disposed.signal);
    if (signal?.aborted === true) throw errorOfAbort(signal);
    if (this.#state.kind === "open" && !this.#state.session.closed && !this.#state.session.destroyed) {
      return this.#state.session;
    }
    const connecting = this.#state.kind === "connecting" ? this.#state.session : this.#startConnecting();
    if (signal === undefined) return connecting;
    try {
      return await orAborted(connecting, signal);
    } catch (error) {
      throw error instanceof GrpcError ? error : errorOfAbort(signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(new GrpcError(GrpcStatus.cancelled, "the channel was closed"));
    if (this.#state.kind === "connecting") await this.#state.session.catch(() => undefined);
    this.#state = { kind: "disposed" };
    const open = [...this.#sessions];
    for (const [session, { socket }] of open) {
      session.destroy();
      // If the session is closed first, the connection stays half open for as long as the peer wants.
      socket.destroy();
    }
    await Promise.all(open.map(([, { gone }]) => gone));
  }

  #startConnecting(): Promise<ClientHttp2Session> {
    const session = this.#connect();
    this.#state = { kind: "connecting", session };
    session.then(
      (open) => {
        this.#state = { kind: "open", session: open };
      },
      () => {
        this.#state = { kind: "idle" };
      },
    );
    return session;
  }

  async #connect(): Promise<ClientHttp2Session> {
    const { target } = this.#options;
    const { clock, hasOpenCalls } = this.#deps;
    using limit = deadline(clock, this.#options.connectTimeoutMs ?? 5_000, this.#disposed.signal);
    try {
      const session = await this.#greet(limit.signal);
      void this.#keepalive?.run(session, hasOpenCalls);
      return session;
    } catch (error) {
      if (error instanceof GrpcError) throw error;
      const hint = connectHint(error, target);
      const cause = hint === undefined ? await explainAlert(error) : error;
      const text = `connect to ${formatTarget(target)}: ${hint ?? describeError(cause)}`;
      throw new GrpcError(GrpcStatus.unavailable, text, { cause });
    }
  }

  /** Dials and waits for the peer's settings: before them it may be anything that accepts connections. */
  async #greet(signal: AbortSignal): Promise<ClientHttp2Session> {
    const { target, authority, windowBytes = defaultWindowBytes } = this.#options;
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
      settings: { enablePush: false, initialWindowSize: Math.floor(windowBytes / 2) },
    });
    this.#sessions.set(session, { socket, gone });
    session.once("remoteSettings", () => {
      greeted.resolve(undefined);
    });
    session.on("connect", () => {
      session.setLocalWindowSize(windowBytes);
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
