// SPDX-License-Identifier: Apache-2.0
import * as grpc from "@grpc/grpc-js";

/** Bytes as they are: the tests look at framing and streams, not at messages. */
const raw = (bytes: Buffer): Buffer => bytes;

const sizes = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** A client of another gRPC implementation. */
export class GrpcJsClient implements Disposable {
  readonly #client: grpc.Client;

  /** @param target `unix:/path` or `host:port` */
  constructor(target: string, credentials = grpc.credentials.createInsecure(), options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(target, credentials, { ...sizes, ...options });
  }

  unary(
    path: string,
    request: Uint8Array,
    metadata: Record<string, string> = {},
    deadlineMs?: number,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
      this.#client.makeUnaryRequest(
        path,
        raw,
        raw,
        Buffer.from(request),
        metadataOf(metadata),
        options,
        (error, answer) => {
          if (error === null) resolve(answer ?? Buffer.alloc(0));
          else reject(error);
        },
      );
    });
  }

  stream(path: string, metadata: Record<string, string> = {}): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(path, raw, raw, metadataOf(metadata));
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

export type GrpcJsMethods = Readonly<
  Record<string, grpc.handleUnaryCall<Buffer, Buffer> | grpc.handleBidiStreamingCall<Buffer, Buffer>>
>;

/** A server of another gRPC implementation. Handlers with two parameters are unary, with one they are streams. */
export async function startGrpcJsServer(
  methods: GrpcJsMethods,
  address: string,
  credentials = grpc.ServerCredentials.createInsecure(),
  options: grpc.ServerOptions = {},
): Promise<{ readonly port: number; readonly server: grpc.Server } & AsyncDisposable> {
  const server = new grpc.Server({ ...sizes, ...options });
  const definition: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {};
  for (const [path, handler] of Object.entries(methods)) {
    const isStream = handler.length === 1;
    const types = { requestStream: isStream, responseStream: isStream };
    const codec = { requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw };
    definition[path] = { path, ...types, ...codec };
  }
  server.addService(definition, { ...methods });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    server,
    [Symbol.asyncDispose]: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

function metadataOf(entries: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(entries)) metadata.set(name, value);
  return metadata;
}
