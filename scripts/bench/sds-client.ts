// SPDX-License-Identifier: Apache-2.0
import { type ClientHttp2Session, connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { DiscoveryRequest } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { encodeFrame, frameHeaderBytes } from "../../src/lib/grpc/message.ts";

const secretsMethod = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";

/** As Envoy and the clients of a gateway do, far below the limits. */
const streamsOfConnection = 100;

/** Streams that have their first secret and stay open. */
export interface SecretStreams extends AsyncDisposable {
  /** From the first request to the last response. */
  readonly ms: number;
  /** Responses that had a secret with a certificate in them. */
  readonly responses: number;
}

/** Opens streams at once, and subscribes each to the workload's certificate. */
export async function openSecretStreams(socketPath: string, streams: number): Promise<SecretStreams> {
  const sessions: ClientHttp2Session[] = [];
  for (let left = streams; left > 0; left -= streamsOfConnection) sessions.push(await openSession(socketPath));
  const startMs = performance.now();
  const received = Array.from({ length: streams }, (_, index) =>
    firstSecret(sessions[Math.floor(index / streamsOfConnection)]),
  );
  const found = await Promise.all(received);
  const ms = performance.now() - startMs;
  return {
    ms,
    responses: found.filter((hasCertificate) => hasCertificate).length,
    async [Symbol.asyncDispose]() {
      const closed = sessions.map((session) => new Promise((resolve) => session.once("close", resolve)));
      for (const session of sessions) session.destroy();
      await Promise.all(closed);
    },
  };
}

async function openSession(socketPath: string): Promise<ClientHttp2Session> {
  const session = connect("http://localhost", { createConnection: () => connectSocket(socketPath) });
  session.on("error", () => undefined);
  await new Promise((resolve, reject) => {
    session.once("remoteSettings", resolve);
    session.once("error", reject);
    session.once("close", () => {
      reject(new Error("the server closed a connection"));
    });
  });
  return session;
}

const request = encodeFrame(
  DiscoveryRequest.encode(
    DiscoveryRequest.fromPartial({ node: { id: "sidecar~10.0.0.1~a.b~b.svc" }, resourceNames: ["default"] }),
  ).finish(),
);

/** @returns whether the first message has a certificate in it */
function firstSecret(session: ClientHttp2Session | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const stream = session?.request({
      ":method": "POST",
      ":path": secretsMethod,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let bytes = Buffer.alloc(0);
    stream?.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const isWhole = bytes.length >= frameHeaderBytes && bytes.length >= frameHeaderBytes + bytes.readUInt32BE(1);
      if (isWhole) resolve(bytes.includes("BEGIN CERTIFICATE"));
    });
    stream?.on("error", reject);
    stream?.on("close", () => {
      reject(new Error("the server ended a stream"));
    });
    stream?.write(request);
  });
}
