// SPDX-License-Identifier: Apache-2.0
import * as grpc from "@grpc/grpc-js";

/** Wire values of grpc.health.v1.HealthCheckResponse.ServingStatus. */
export const serving = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;

export interface FakeHealth extends AsyncDisposable {
  readonly port: number;
  /** Services asked for and the metadata that came with each call. */
  readonly asked: { readonly service: string; readonly userAgent: string; readonly peer: string }[];
}

export interface FakeHealthOptions {
  readonly host?: string;
  readonly statuses?: Readonly<Record<string, number>>;
  /** Without it the server has no health service at all. */
  readonly implemented?: boolean;
  readonly hangs?: boolean;
}

/** The standard health service, served by another gRPC implementation than the agent's. */
export async function startFakeHealth(options: FakeHealthOptions = {}): Promise<FakeHealth> {
  const { host = "127.0.0.1", statuses = { "": serving.serving }, implemented = true, hangs = false } = options;
  const asked: { service: string; userAgent: string; peer: string }[] = [];
  const server = new grpc.Server();
  const check: grpc.handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    // field 1, a string: tag 0x0a, its length, its text
    const service = call.request.subarray(2).toString();
    asked.push({ service, userAgent: String(call.metadata.get("user-agent")[0]), peer: call.getPeer() });
    if (hangs) return;
    const status = statuses[service];
    if (status === undefined) callback({ code: grpc.status.NOT_FOUND, details: "unknown service" });
    else callback(null, status === 0 ? Buffer.alloc(0) : Buffer.from([0x08, status]));
  };
  const bytes = (value: Buffer): Buffer => value;
  const method = {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  if (implemented) server.addService({ check: method }, { check });
  const authority = host.includes(":") ? `[${host}]:0` : `${host}:0`;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(authority, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    asked,
    [Symbol.asyncDispose]() {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}
