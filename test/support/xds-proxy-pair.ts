// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { createGrpcChannel, type ClientStream } from "../../src/lib/grpc/client.ts";
import { type Clock, systemClock } from "../../src/lib/async/clock.ts";
import { readWhole } from "../../src/lib/grpc/message.ts";
import type { LogRecord } from "../../src/lib/log/log.ts";
import { listenUnix } from "../../src/lib/net/unix-socket.ts";
import type { Budgets } from "../../src/model/limits.ts";
import {
  type AgentResourceType,
  serveXdsProxy,
  type WasmConfig,
  type XdsDeps,
  type XdsMetrics,
  type XdsProxy,
} from "../../src/xds/index.ts";
import { parseResponse, type XdsResponse } from "../../src/xds/protocol/response.ts";
import { renderRequest, type XdsProtocol, type XdsRequest } from "../../src/xds/protocol/request.ts";
import type { XdsConfig, XdsUpstream } from "../../src/xds/xds-config.ts";
import { textField } from "../../src/xds/protocol/wire.ts";
import { testBudgets } from "./budgets.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { testLog } from "./test-log.ts";
import { createXdsMetrics } from "./agent-metrics.ts";

export interface ProxyUnderTest extends AsyncDisposable {
  readonly proxy: XdsProxy;
  readonly socketPath: string;
  readonly directory: string;
  readonly metrics: XdsMetrics;
  readonly budgets: Budgets;
  readonly records: readonly LogRecord[];
  /** A client on the socket, as Envoy is one. */
  open(protocol: XdsProtocol): Promise<XdsClient>;
}

export interface ProxyUnderTestOptions {
  readonly upstream?: Partial<XdsUpstream>;
  readonly config?: Partial<XdsConfig>;
  readonly agentResources?: readonly AgentResourceType[];
  readonly wasm?: WasmConfig;
  readonly readToken?: XdsDeps["readToken"];
  readonly budgets?: Budgets;
  readonly clock?: Clock;
  readonly maxEnvoyStreams?: number;
  /** Default: no connection is of Envoy's process. */
  readonly isEnvoy?: NonNullable<XdsDeps["isEnvoy"]>;
}

/** The proxy towards control planes on the given ports of loopback, in plaintext unless said otherwise. */
export async function startProxy(
  ports: readonly number[],
  options: ProxyUnderTestOptions = {},
): Promise<ProxyUnderTest> {
  const stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const listener = stack.use(await listenUnix({ path: join(directory, "XDS"), mode: 0o600 }));
  const { log, records } = testLog();
  const metrics = createXdsMetrics();
  const config: XdsConfig = {
    socketPath: listener.path,
    socketMode: 0o600,
    upstream: {
      addresses: ports.map((port) => ({ host: "127.0.0.1", port })),
      security: { kind: "plaintext" },
      authority: "istiod.istio-system.svc",
      tokenPath: undefined,
      clusterId: "c1",
      headers: {},
      httpProxy: undefined,
      connectTimeoutMs: 2_000,
      backoff: { firstMs: 20, factor: 2, maxMs: 200, idleMaxMs: 15_000 },
      ...options.upstream,
    },
    maxReceiveBytes: 4 * 1024 * 1024,
    maxStreams: 1_000,
    keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    cache: undefined,
    ...options.config,
  };
  const deps = {
    log,
    clock: options.clock ?? systemClock,
    random: Math.random,
    metrics,
    budgets: options.budgets ?? testBudgets(),
    agentResources: options.agentResources ?? [],
    wasm: options.wasm,
    readToken: options.readToken,
    maxEnvoyStreams: options.maxEnvoyStreams ?? 1,
    isEnvoy: options.isEnvoy ?? (() => false),
  };
  const proxy = stack.use(serveXdsProxy(listener, config, deps));
  return {
    proxy,
    socketPath: listener.path,
    directory,
    metrics,
    budgets: deps.budgets,
    records,
    open: async (protocol) => {
      const client = await XdsClient.open(listener.path, protocol);
      stack.use(client);
      return client;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const methods = { sotw: "StreamAggregatedResources", delta: "DeltaAggregatedResources" } as const;

/** A client that speaks one of the protocols by hand. */
export class XdsClient implements AsyncDisposable {
  readonly protocol: XdsProtocol;
  readonly stream: ClientStream;
  readonly #responses: AsyncIterator<Uint8Array, void, undefined>;
  readonly #close: () => Promise<void>;

  static async open(socketPath: string, protocol: XdsProtocol): Promise<XdsClient> {
    const target = { kind: "unix", path: socketPath } as const;
    const options = { target, authority: "xds-grpc", maxReceiveBytes: 2 ** 31 - 1 };
    const channel = createGrpcChannel(options, { clock: systemClock });
    const path = `/envoy.service.discovery.v3.AggregatedDiscoveryService/${methods[protocol]}`;
    return new XdsClient(protocol, await channel.stream(path), async () => {
      await channel[Symbol.asyncDispose]();
    });
  }

  constructor(protocol: XdsProtocol, stream: ClientStream, close: () => Promise<void>) {
    this.protocol = protocol;
    this.stream = stream;
    this.#responses = wholeMessages(stream);
    this.#close = close;
  }

  /** Sends a request; the node is that of an Envoy unless another is given. @returns the bytes sent */
  async send(request: Partial<XdsRequest> & Pick<XdsRequest, "typeUrl">): Promise<Uint8Array> {
    const bytes = renderRequest(request, this.protocol);
    await this.stream.write(bytes);
    return bytes;
  }

  async nextBytes(): Promise<Uint8Array> {
    const next = await this.#responses.next();
    if (next.done === true) throw new Error("the stream ended with OK");
    return next.value;
  }

  async next(): Promise<XdsResponse> {
    return parseResponse(await this.nextBytes(), this.protocol);
  }

  /** Accepts a response. */
  async ack({ typeUrl, version, nonce }: XdsResponse, subscribe: readonly string[] = []): Promise<void> {
    await this.send({ typeUrl, version: this.protocol === "sotw" ? version : "", nonce, subscribe });
  }

  async nack({ typeUrl, nonce }: XdsResponse, version: string, message: string): Promise<void> {
    await this.send({ typeUrl, version, nonce, error: { code: 13, message } });
  }

  /** Resolves when the proxy has ended the stream with OK; rejects with its status. */
  async untilEnd(): Promise<void> {
    while ((await this.#responses.next()).done !== true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stream.cancel();
    await this.#close();
  }
}

export const envoyNode = Buffer.concat([textField(1, "sidecar~10.0.0.1~a.b~b.svc"), textField(6, "envoy")]);

async function* wholeMessages(stream: ClientStream): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const message of stream.responses) yield await readWhole(message);
}
