// SPDX-License-Identifier: Apache-2.0
import { Server, ServerCredentials, type ServerWritableStream, status } from "@grpc/grpc-js";
import { X509SVIDResponse } from "../../src/gen/spiffe/workload.ts";
import { splitPem } from "../../src/lib/pki/pem.ts";

/** One identity as the agent gives it. */
export interface FakeSvid {
  readonly spiffeId: string;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly bundlePem: string;
  readonly hint?: string;
}

/**
 * A SPIFFE agent with the Workload API's X.509 stream.
 * Source: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
export interface FakeWorkloadApi extends AsyncDisposable {
  readonly path: string;
  readonly calls: number;
  /** Gives these to every open stream, and first to every new one. */
  give(svids: readonly FakeSvid[], federated?: Readonly<Record<string, string>>): void;
  /** Ends every stream, and refuses new ones, with the status; until `give` is called. */
  refuse(code: status): void;
  /** Sends bytes that are no response. */
  garble(): void;
}

/** What SPIRE's agent gives as details. Source: SPIRE 1.15.3, pkg/agent/endpoints */
const details: Readonly<Partial<Record<status, string>>> = {
  [status.PERMISSION_DENIED]: "no identity issued",
  [status.INVALID_ARGUMENT]: "security header missing from request",
  [status.UNAVAILABLE]: "workload attestation failed",
};

export async function startFakeWorkloadApi(path: string): Promise<FakeWorkloadApi> {
  const server = new Server();
  const streams = new Set<ServerWritableStream<Buffer, Uint8Array>>();
  let current: Uint8Array | undefined;
  let refusal: status | undefined;
  let calls = 0;
  const bytes = { serialize: (value: Uint8Array) => Buffer.from(value), deserialize: (value: Buffer) => value };
  const method = {
    path: "/SpiffeWorkloadAPI/FetchX509SVID",
    requestStream: false,
    responseStream: true,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  } as const;
  const end = (call: ServerWritableStream<Buffer, Uint8Array>, code: status): void => {
    call.emit("error", { code, details: details[code] ?? "as the test requested" });
  };
  server.addService(
    { fetch: method },
    {
      fetch: (call: ServerWritableStream<Buffer, Uint8Array>) => {
        calls++;
        if (call.metadata.get("workload.spiffe.io")[0] !== "true") end(call, status.INVALID_ARGUMENT);
        else if (refusal !== undefined) end(call, refusal);
        else {
          streams.add(call);
          call.on("close", () => streams.delete(call));
          if (current !== undefined) call.write(current);
        }
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  const send = (message: Uint8Array): void => {
    refusal = undefined;
    current = message;
    for (const stream of streams) stream.write(message);
  };
  return {
    path,
    get calls() {
      return calls;
    },
    give(svids, federated = {}) {
      const der = (pem: string): Buffer => Buffer.concat(splitPem(pem).blocks.map((block) => block.der));
      const bundles = Object.entries(federated).map(([domain, pem]) => [domain, der(pem)] as const);
      send(
        X509SVIDResponse.encode(
          X509SVIDResponse.fromPartial({
            svids: svids.map((one) => ({
              spiffeId: one.spiffeId,
              x509Svid: der(one.chainPem),
              x509SvidKey: der(one.keyPem),
              bundle: der(one.bundlePem),
              hint: one.hint ?? "",
            })),
            federatedBundles: Object.fromEntries(bundles),
          }),
        ).finish(),
      );
    },
    refuse(code) {
      refusal = code;
      for (const stream of streams) end(stream, code);
    },
    garble() {
      send(Uint8Array.of(0x0a, 0x7f));
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}
