// SPDX-License-Identifier: Apache-2.0
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { DiscoveryRequest, DiscoveryResponse } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
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
  /** Whether all streams have the same secret: no rotation was between the first and the last. */
  readonly isUniform: boolean;
  /** Accepts what each stream has received last. */
  acknowledge(): void;
  /** Waits until all streams have the next secret. */
  untilNext(): Promise<Rotation>;
}

export interface Rotation {
  /** From the first stream's secret to the last one's. */
  readonly ms: number;
  /** Streams whose secret is another one than before. */
  readonly renewed: number;
}

/** Opens streams at once, and subscribes each to the workload's certificate. */
export async function openSecretStreams(socketPath: string, count: number): Promise<SecretStreams> {
  const sessions: ClientHttp2Session[] = [];
  for (let left = count; left > 0; left -= streamsOfConnection) sessions.push(await openSession(socketPath));
  const startMs = performance.now();
  const streams = Array.from({ length: count }, (_, index) => {
    const session = sessions[Math.floor(index / streamsOfConnection)];
    if (session === undefined) throw new Error("there is no connection for a stream");
    return new SecretStream(session);
  });
  let messages = await Promise.all(streams.map((stream) => stream.next()));
  const ms = performance.now() - startMs;
  return {
    ms,
    responses: messages.filter((message) => message.includes("BEGIN CERTIFICATE")).length,
    isUniform: new Set(messages.map(secretOf)).size === 1,
    acknowledge() {
      for (const [index, stream] of streams.entries()) stream.acknowledge(messages[index] ?? Buffer.alloc(0));
    },
    async untilNext() {
      const before = messages.map(secretOf);
      let firstMs = Number.NaN;
      messages = await Promise.all(
        streams.map(async (stream) => {
          const message = await stream.next();
          if (Number.isNaN(firstMs)) firstMs = performance.now();
          return message;
        }),
      );
      const lastMs = performance.now();
      const renewed = messages.filter((message, index) => secretOf(message) !== before[index]).length;
      return { ms: lastMs - firstMs, renewed };
    },
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

function request(responseNonce: string, versionInfo: string): Buffer {
  const facts = { node: { id: "sidecar~10.0.0.1~a.b~b.svc" }, resourceNames: ["default"], responseNonce, versionInfo };
  return Buffer.from(encodeFrame(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(facts)).finish()));
}

const firstRequest = request("", "");

function secretOf(message: Buffer): string {
  return DiscoveryResponse.decode(message).resources[0]?.value.toString("latin1") ?? "";
}

class SecretStream {
  readonly #stream: ClientHttp2Stream;
  #bytes: Buffer = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Buffer> | undefined;

  constructor(session: ClientHttp2Session) {
    const headers = { ":method": "POST", ":path": secretsMethod, "content-type": "application/grpc", te: "trailers" };
    this.#stream = session.request(headers);
    this.#stream.on("data", (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#take();
    });
    this.#stream.on("error", (error) => this.#waiting?.reject(error));
    this.#stream.on("close", () => this.#waiting?.reject(new Error("the server ended a stream")));
    this.#stream.write(firstRequest);
  }

  /** @returns the next message; one call at a time @throws when the stream ends */
  next(): Promise<Buffer> {
    this.#waiting = Promise.withResolvers();
    const { promise } = this.#waiting;
    this.#take();
    return promise;
  }

  acknowledge(message: Buffer): void {
    const { nonce, versionInfo } = DiscoveryResponse.decode(message);
    this.#stream.write(request(nonce, versionInfo));
  }

  #take(): void {
    if (this.#waiting === undefined || this.#bytes.length < frameHeaderBytes) return;
    const end = frameHeaderBytes + this.#bytes.readUInt32BE(1);
    if (this.#bytes.length < end) return;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(this.#bytes.subarray(frameHeaderBytes, end));
    this.#bytes = this.#bytes.subarray(end);
  }
}
