// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { createGrpcServer, type GrpcHandler, type GrpcServer } from "../lib/grpc/server.ts";
import type { Logger } from "../lib/log/log.ts";
import { createTlsClient } from "../lib/net/tls-client.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import { AnswerCache, type CacheStatus } from "./cache/response-cache.ts";
import { EnvoyStream } from "./envoy-stream.ts";
import type { WorkloadHealth } from "./health/health-state.ts";
import type { OwnType } from "./agent-resources/agent-resource-type.ts";
import type { StreamContext } from "./proxied-stream.ts";
import { type Refusal, Refusals } from "./rejections.ts";
import type { XdsProtocol } from "./protocol/request.ts";
import type { ReadToken } from "../model/token.ts";
import { adsMethods } from "./upstream/connection.ts";
import type { WasmConfig } from "./wasm/wasm-config.ts";
import { LazyWasmExtensions } from "./wasm/lazy-wasm-extensions.ts";
import type { XdsConfig } from "./xds-config.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

export interface XdsDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly metrics: XdsMetrics;
  /** Told when the cache begins to serve Envoy, and, with undefined, when it no longer does. */
  readonly onCache?: (status: CacheStatus | undefined) => void;
  /** Types that the agent asks for itself. */
  readonly ownTypes: readonly OwnType[];
  /** Streams of Envoy's at once, the newest ones: two while one Envoy takes over from another. Default 1. */
  readonly maxEnvoyStreams?: number;
  /** What the control plane is shown in the place of the token file's content; undefined: that. */
  readonly readToken?: ReadToken | undefined;
  /** How modules of Wasm extensions are fetched for Envoy; undefined leaves extensions as they are. */
  readonly wasm?: WasmConfig | undefined;
}

/** What goes on between Envoy and the control plane, for the status page. */
export interface XdsStatus {
  readonly streams: readonly XdsStreamStatus[];
  /** Types whose last answer Envoy refused. */
  readonly refused: readonly Refusal[];
  /** Set while Envoy is served from the cache. */
  readonly cache: CacheStatus | undefined;
}

export interface XdsStreamStatus {
  readonly protocol: XdsProtocol;
  readonly isEnvoy: boolean;
  /** Whether a stream to a control plane is open. */
  readonly isConnected: boolean;
  readonly types: readonly { readonly typeUrl: string; readonly version: string }[];
}

/** Disposing cuts all streams; it is for after Envoy's end. */
export interface XdsProxy extends AsyncDisposable {
  status(): XdsStatus;
  /** Tells the control plane how the workload is, now and on each later stream. */
  reportHealth(health: WorkloadHealth): void;
}

/**
 * Serves ADS on the socket and passes it on to the control plane, as bytes. Both protocols at any time; several
 * streams at once, of which Envoy has one.
 */
export function serveXdsProxy(listener: UnixListener, config: XdsConfig, deps: XdsDeps): XdsProxy {
  const streams = new Set<EnvoyStream>();
  const refusals = new Refusals(deps);
  const cache = config.cache === undefined ? undefined : new AnswerCache(config.cache, deps);
  const extensions = deps.wasm === undefined ? undefined : new LazyWasmExtensions(deps.wasm, deps);
  let health: WorkloadHealth | undefined;
  const { security } = config.upstream;
  const context: StreamContext = {
    ...deps,
    config,
    tls: security.kind === "tls" ? createTlsClient(security) : undefined,
    refusals,
    health: () => health,
    claim: (stream) => {
      const others = [...streams].filter((other) => other !== stream && other.isEnvoy);
      const surplus = others.slice(0, Math.max(0, others.length - (deps.maxEnvoyStreams ?? 1) + 1));
      for (const other of surplus) {
        deps.log.info("Envoy opened another stream; the older one is closed");
        other.end();
      }
    },
    cache,
    extensions,
  };
  const server = createAdsServer(streams, context);
  listener.serve((socket) => {
    server.accept(socket);
  });
  return {
    status: () => ({ streams: [...streams].map(statusOf), refused: refusals.current(), cache: cache?.status }),
    reportHealth(next) {
      health = next;
      for (const stream of streams) stream.link?.report(next);
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await extensions?.[Symbol.asyncDispose]();
    },
  };
}

function createAdsServer(streams: Set<EnvoyStream>, context: StreamContext): GrpcServer {
  return createGrpcServer(
    {
      methods: {
        [adsMethods.sotw]: handler("sotw", streams, context),
        [adsMethods.delta]: handler("delta", streams, context),
      },
      maxReceiveBytes: context.config.maxReceiveBytes,
      chunkAboveBytes: Number.POSITIVE_INFINITY,
      maxConcurrentStreams: context.config.maxStreams,
      keepalive: context.config.keepalive,
      onFailure: (path, error) => {
        context.log.error("an xDS stream failed", { path, reason: String(error) });
      },
    },
    context,
  );
}

function handler(protocol: XdsProtocol, streams: Set<EnvoyStream>, context: StreamContext): GrpcHandler {
  return {
    kind: "stream",
    async handle(call) {
      const stream = new EnvoyStream(call, protocol, context);
      streams.add(stream);
      let ending = "cancelled";
      try {
        await stream.run();
      } catch (error) {
        ending = "error";
        throw error;
      } finally {
        streams.delete(stream);
        context.metrics.envoyTerminations.inc(ending);
      }
    },
  };
}

function statusOf(stream: EnvoyStream): XdsStreamStatus {
  const { protocol, isEnvoy, subscriptions } = stream;
  const types = subscriptions.typeUrls.map((typeUrl) => ({ typeUrl, version: subscriptions.versionInUse(typeUrl) }));
  return { protocol, isEnvoy, isConnected: stream.link !== undefined, types };
}
