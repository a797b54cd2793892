// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import {
  logVerbosity,
  type MethodDefinition,
  Server,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js";
import { orAborted } from "../async/tasks.ts";
import type { Budget } from "../budget.ts";
import { describeError } from "../errors.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

/*
 * The server of the development commands. `attache proxy` serves with `server.ts`, which takes accepted connections and
 * costs less to load. docs/adr/0010-named-packages.md
 */

/** A unary call: the request, one value of its metadata, and the client's certificate. */
export interface UnaryRequest {
  readonly bytes: Uint8Array;
  /** DER of the certificate that the client presented; undefined without one that leads to `clientRootPem` now. */
  readonly clientCertificate: Uint8Array | undefined;
  metadata(name: string): string | undefined;
}

/** A bidirectional stream. */
export interface MessageStream {
  /** Ends when the client has ended its side or cancelled the call. */
  readonly requests: AsyncIterable<Uint8Array>;
  /** Resolves when the message is handed over to the connection; never rejects, also when the client has gone. */
  write(message: Uint8Array): Promise<void>;
}

/** A thrown `GrpcError` is the status of the call; anything else thrown is UNKNOWN. */
export type ServerMethod =
  | { readonly kind: "unary"; handle(request: UnaryRequest): Uint8Array }
  | { readonly kind: "stream"; handle(stream: MessageStream): Promise<void> };

export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Undefined: plaintext. */
  readonly tls: ServerTls | undefined;
  /** By full path: `/package.Service/Method`. */
  readonly methods: Readonly<Record<string, ServerMethod>>;
  /** None unless given: for clients of this program's own only. */
  readonly limits?: GrpcJsLimits;
}

export interface ServerTls {
  readonly keyPem: string;
  readonly chainPem: string;
  /** Client certificates are requested, not demanded, and verified by this root. */
  readonly clientRootPem?: string;
}

/** What clients can make grow. */
export interface GrpcJsLimits {
  /** Of the process. With more, the oldest connection without a call gives way; if there is none, the oldest one. */
  readonly connections: Budget;
  /** Each connection has a child of it. Further calls are RESOURCE_EXHAUSTED. */
  readonly calls: Budget;
  /** A longer request is RESOURCE_EXHAUSTED. */
  readonly requestBytes: Budget;
}

/** Megabytes that HTTP/2 may use for one connection; the library's own limit is none. */
const maxSessionMemory = 8;
/** A connection without a call is closed after this time. */
const maxIdleMs = 60_000;

/** A server that listens. Disposing it closes its port and cuts every call. */
export interface ListeningServer extends AsyncDisposable {
  readonly port: number;
}

/** @throws the library's error when the address cannot be used */
export async function listenGrpcJs({ host, port, tls, methods, limits }: ListenOptions): Promise<ListeningServer> {
  setLogVerbosity(logVerbosity.NONE); // the library would write to stderr itself
  const connections = new Connections(limits);
  const server = new Server({
    interceptors: [connections.countCall],
    "grpc-node.max_session_memory": maxSessionMemory,
    ...(limits === undefined
      ? {}
      : {
          "grpc.max_receive_message_length": limits.requestBytes.size,
          "grpc.max_concurrent_streams": limits.calls.size,
          "grpc.max_connection_idle_ms": maxIdleMs,
        }),
  });
  for (const [path, method] of Object.entries(methods)) {
    server.addService({ method: definitionOf(path, method) }, { method: handlerOf(method) });
  }
  const credentials = tls === undefined ? ServerCredentials.createInsecure() : createCredentials(tls);
  // The library neither counts connections nor limits them: they are accepted here.
  const injector = server.createConnectionInjector(credentials);
  const listener = createServer((socket) => {
    if (connections.add(socket)) injector.injectConnection(socket);
  });
  listener.listen({ host, port });
  await once(listener, "listening");
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error(`the server of ${host} has no port`);
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      const closed = new Promise<void>((resolve) => {
        server.tryShutdown(() => {
          resolve();
        });
      });
      server.forceShutdown();
      connections[Symbol.dispose]();
      await closed;
    },
  };
}

function createCredentials({ keyPem, chainPem, clientRootPem }: ServerTls): ServerCredentials {
  const pair = [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(chainPem) }];
  if (clientRootPem === undefined) return ServerCredentials.createSsl(null, pair);
  const credentials = ServerCredentials.createSsl(Buffer.from(clientRootPem), pair, true);
  // The library can only demand a certificate. It hands on one that was verified, and none otherwise.
  const options: unknown = Reflect.get(credentials, "serverConstructorOptions");
  if (typeof options !== "object" || options === null) throw new Error("the library has no options of TLS");
  Object.assign(options, { rejectUnauthorized: false });
  return credentials;
}

interface ConnectionInfo {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

interface Connection {
  readonly socket: Socket;
  /** Undefined without limits. */
  readonly calls: Budget | undefined;
}

/** The open connections, oldest first, by the address and port of their clients. */
class Connections implements Disposable {
  readonly #limits: GrpcJsLimits | undefined;
  readonly #open = new Map<string, Connection>();

  constructor(limits: GrpcJsLimits | undefined) {
    this.#limits = limits;
  }

  /** @returns false when the socket was closed instead */
  add(socket: Socket): boolean {
    socket.on("error", () => undefined);
    if (!this.#reserve()) {
      socket.destroy();
      return false;
    }
    const name = nameOf(socket);
    const connection = { socket, calls: this.#limits?.calls.child() };
    this.#open.set(name, connection);
    socket.once("close", () => {
      if (this.#open.get(name) === connection) this.#forget(name, connection);
    });
    return true;
  }

  /** Counts each call on its connection, from its first byte to its status. */
  readonly countCall: ServerInterceptor = (_method, call) => {
    const calls = this.#open.get(nameOf(call.getConnectionInfo()))?.calls;
    if (calls === undefined) return new ServerInterceptingCall(call);
    const lease = calls.take();
    if (lease === undefined) {
      const rejection = { code: status.RESOURCE_EXHAUSTED, details: calls.text };
      return new ServerInterceptingCall(call, {
        start: () => {
          call.sendStatus(rejection);
        },
      });
    }
    const release = (): void => {
      lease[Symbol.dispose]();
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({ onCancel: release });
      },
      sendStatus: (sent, next) => {
        release();
        next(sent);
      },
    });
  };

  [Symbol.dispose](): void {
    for (const { socket } of this.#open.values()) socket.destroy();
  }

  #reserve(): boolean {
    if (this.#limits === undefined || this.#limits.connections.tryTake()) return true;
    const open = [...this.#open];
    const [name, connection] = open.find(([, { calls }]) => calls?.used === 0) ?? open[0] ?? [];
    if (name === undefined || connection === undefined) return false;
    this.#forget(name, connection);
    connection.socket.destroy();
    return this.#limits.connections.tryTake();
  }

  #forget(name: string, { calls }: Connection): void {
    this.#open.delete(name);
    this.#limits?.connections.release();
    calls?.[Symbol.dispose]();
  }
}

function nameOf({ remoteAddress = "", remotePort = 0 }: ConnectionInfo | Socket): string {
  return `${remoteAddress} ${String(remotePort)}`;
}

function definitionOf(path: string, { kind }: ServerMethod): MethodDefinition<Uint8Array, Uint8Array> {
  const serialize = (message: Uint8Array): Buffer => Buffer.from(message);
  const deserialize = (message: Buffer): Uint8Array => message;
  return {
    path,
    requestStream: kind === "stream",
    responseStream: kind === "stream",
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

function handlerOf(method: ServerMethod) {
  if (method.kind === "unary") {
    return (call: ServerUnaryCall<Uint8Array, Uint8Array>, done: sendUnaryData<Uint8Array>): void => {
      const metadata = (name: string): string | undefined => call.metadata.get(name)[0]?.toString();
      try {
        const clientCertificate = call.getAuthContext().sslPeerCertificate?.raw;
        done(null, method.handle({ bytes: call.request, clientCertificate, metadata }));
      } catch (error) {
        done(statusOf(error));
      }
    };
  }
  return (call: ServerDuplexStream<Uint8Array, Uint8Array>): void => {
    void runStream(method, call);
  };
}

async function runStream(
  method: ServerMethod & { readonly kind: "stream" },
  call: ServerDuplexStream<Uint8Array, Uint8Array>,
): Promise<void> {
  const cancelled = new AbortController();
  call.once("cancelled", () => {
    cancelled.abort(new GrpcError(GrpcStatus.cancelled, "the client cancelled the call"));
  });
  const stream: MessageStream = {
    // Destroying the stream at the end of the requests would also end the responses.
    requests: call.iterator({ destroyOnReturn: false }),
    async write(message) {
      if (cancelled.signal.aborted || call.write(message)) return;
      await orAborted(once(call, "drain"), cancelled.signal).catch(() => undefined);
    },
  };
  try {
    await method.handle(stream);
    call.end();
  } catch (error) {
    if (!cancelled.signal.aborted) call.emit("error", statusOf(error));
  }
}

function statusOf(error: unknown): { readonly code: number; readonly details: string } {
  if (error instanceof GrpcError) return { code: error.status, details: error.detail };
  return { code: GrpcStatus.unknown, details: describeError(error) };
}
