// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import {
  logVerbosity,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { orAborted } from "../async/tasks.ts";
import { describeError } from "../errors.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

/*
 * The server of the development commands. `attache proxy` serves with `server.ts`, which takes accepted connections and
 * costs less to load. docs/adr/0010-named-packages.md
 */

/** A unary call: the request, and one value of its metadata. */
export interface UnaryRequest {
  readonly bytes: Uint8Array;
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
  /** `host:port`, an IPv6 host in brackets. Port 0 takes any free one. */
  readonly address: string;
  /** Undefined: plaintext. */
  readonly tls: { readonly keyPem: string; readonly chainPem: string } | undefined;
  /** By full path: `/package.Service/Method`. */
  readonly methods: Readonly<Record<string, ServerMethod>>;
}

/** A server that listens. Disposing it closes its port and cuts every call. */
export interface ListeningServer extends AsyncDisposable {
  readonly port: number;
}

/** @throws the library's error when the address cannot be used */
export async function listenGrpcJs({ address, tls, methods }: ListenOptions): Promise<ListeningServer> {
  setLogVerbosity(logVerbosity.NONE); // the library would write to stderr itself
  const server = new Server();
  for (const [path, method] of Object.entries(methods)) {
    server.addService({ method: definitionOf(path, method) }, { method: handlerOf(method) });
  }
  const pair =
    tls === undefined ? [] : [{ private_key: Buffer.from(tls.keyPem), cert_chain: Buffer.from(tls.chainPem) }];
  const credentials = tls === undefined ? ServerCredentials.createInsecure() : ServerCredentials.createSsl(null, pair);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => {
        server.tryShutdown(() => {
          resolve();
        });
      });
      server.forceShutdown();
      await closed;
    },
  };
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
        done(null, method.handle({ bytes: call.request, metadata }));
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
