// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Clock } from "../lib/async/clock.ts";
import { createGrpcServer, type GrpcHandler, type GrpcServer } from "../lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { Logger } from "../lib/log/log.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { RepeatedWarnings } from "../lib/log/repeated-warnings.ts";
import { createTlsClient } from "../lib/net/tls-client.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Budgets } from "../model/limits.ts";
import type { ReadToken } from "../model/token.ts";
import { AgentResourceOutcomes, type AgentResourceStatus } from "./agent-resources/agent-resource-outcomes.ts";
import type { AgentResourceType } from "./agent-resources/agent-resource-type.ts";
import { type CacheStatus, ResponseCache } from "./cache/response-cache.ts";
import { EnvoyStream } from "./envoy-stream.ts";
import type { WorkloadHealth } from "./health-checks.ts";
import type { XdsProtocol } from "./protocol/request.ts";
import type { ProxiedStream, StreamContext } from "./proxied-stream.ts";
import { typeUrls } from "./protocol/type-url.ts";
import { type Rejection, Rejections } from "./rejections.ts";
import type { TypeProgress } from "./sync-progress.ts";
import { ControlPlaneState, type ControlPlaneStatus } from "./upstream/control-plane-state.ts";
import { adsMethods } from "./upstream/connection.ts";
import { UpstreamProblem } from "./upstream/upstream-problem.ts";
import { LazyWasmExtensions } from "./wasm/lazy-wasm-extensions.ts";
import type { WasmConfig, XdsConfig } from "./xds-config.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

export interface XdsDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly metrics: XdsMetrics;
  readonly budgets: Budgets;
  /** Who connects, for the log. Default `Envoy`. */
  readonly client?: string;
  /** Whether a connection to the socket is Envoy's. Default: none is. */
  readonly isEnvoy?: ((socket: Socket) => boolean) | undefined;
  /** Called when the cache starts to serve Envoy, and, with undefined, when it stops. */
  readonly onCache?: (status: CacheStatus | undefined) => void;
  /** Resource types that the agent itself subscribes to. */
  readonly agentResources: readonly AgentResourceType[];
  /** Streams of Envoy at once; older ones are closed. Two during a hot restart. Default 1. */
  readonly maxEnvoyStreams?: number;
  /** The token for the control plane; undefined: that of the token file. */
  readonly readToken?: ReadToken | undefined;
  /** How Wasm modules are fetched for Envoy; undefined passes extensions on unchanged. */
  readonly wasm?: WasmConfig | undefined;
}

/** The proxy's state, for the status page. */
export interface XdsStatus {
  readonly streams: readonly XdsStreamStatus[];
  /** Types whose last response Envoy rejected. */
  readonly rejected: readonly Rejection[];
  /** Set while Envoy is served from the cache. */
  readonly cache: CacheStatus | undefined;
  readonly controlPlane: ControlPlaneStatus;
  /** Types that the agent itself subscribes to, and those of which it has rejected a response. */
  readonly agentTypes: readonly AgentResourceStatus[];
}

export interface XdsStreamStatus {
  readonly protocol: XdsProtocol;
  readonly isEnvoy: boolean;
  /** Whether a stream to a control plane is open. */
  readonly isConnected: boolean;
  readonly types: readonly XdsTypeStatus[];
}

/** `resourceCount`: what the client has, or what the last response had. */
export interface XdsTypeStatus extends Omit<TypeProgress, "versionAccepted"> {
  readonly typeUrl: string;
  /** In use. */
  readonly version: string;
}

/** Disposing cuts all streams; dispose after Envoy has exited. */
export interface XdsProxy extends AsyncDisposable {
  status(): XdsStatus;
  /** Why Envoy has nothing of a type: its last rejection, or what is wrong with the control plane; undefined if unknown. */
  problemOf(type: "cluster" | "listener"): string | undefined;
  /** Reports the workload's health to the control plane, now and on each later stream. */
  reportHealth(health: WorkloadHealth): void;
}

/**
 * Serves ADS on the socket and passes it on to the control plane as raw bytes. State of the world and delta; several
 * clients at once, of which one is Envoy.
 */
export function serveXdsProxy(listener: UnixListener, config: XdsConfig, deps: XdsDeps): XdsProxy {
  const streams = new Set<EnvoyStream>();
  const rejections = new Rejections(deps);
  const cache = config.cache === undefined ? undefined : new ResponseCache(config.cache, deps);
  const extensions = deps.wasm === undefined ? undefined : new LazyWasmExtensions(deps.wasm, deps);
  const outcomes = new AgentResourceOutcomes(deps.agentResources, deps.clock);
  const controlPlane = new ControlPlaneState(deps.clock);
  let health: WorkloadHealth | undefined;
  const { security } = config.upstream;
  const context: StreamContext = {
    ...deps,
    ...createReports(deps),
    config,
    tls: security.kind === "tls" ? createTlsClient(security) : undefined,
    rejections,
    health: () => health,
    onEnvoy: (stream) => {
      closeOlder(stream, streams, deps);
    },
    cache,
    extensions,
    outcomes,
    controlPlane,
  };
  const server = createAdsServer(streams, context, deps.isEnvoy ?? (() => false));
  listener.serve((socket) => {
    server.accept(socket);
  });
  return {
    status: () => ({
      streams: [...streams].map(statusOf),
      rejected: rejections.current(),
      cache: cache?.status,
      controlPlane: controlPlane.status,
      agentTypes: outcomes.all(),
    }),
    problemOf: (type) => rejections.explain(typeUrls[type]) ?? context.upstreamProblem.text,
    reportHealth(next) {
      health = next;
      for (const stream of streams) stream.upstream?.report(next);
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await extensions?.[Symbol.asyncDispose]();
      context.outage[Symbol.dispose]();
    },
  };
}

type Reports = Pick<StreamContext, "outage" | "upstreamProblem" | "connectionWarnings" | "rejectedResponses">;

function createReports({ log, clock }: XdsDeps): Reports {
  return {
    outage: new OutageLog(log, clock, { first: connectedMessage, recovered: connectedMessage }),
    upstreamProblem: new UpstreamProblem(clock),
    connectionWarnings: new RepeatedWarnings(log, clock),
    rejectedResponses: new OutageLog(log, clock),
  };
}

/** Envoy has one stream, or two during a hot restart. */
function closeOlder(
  stream: ProxiedStream,
  streams: ReadonlySet<EnvoyStream>,
  { log, client = "Envoy", maxEnvoyStreams = 1 }: XdsDeps,
): void {
  const others = [...streams].filter((other) => other !== stream && other.isEnvoy);
  for (const other of others.slice(0, Math.max(0, others.length - maxEnvoyStreams + 1))) {
    log.info(`${client} opened another xDS stream; closing the older one`);
    other.end();
  }
}

const connectedMessage = "connected to the control plane";

function createAdsServer(
  streams: Set<EnvoyStream>,
  context: StreamContext,
  isEnvoy: (socket: Socket) => boolean,
): GrpcServer {
  return createGrpcServer(
    {
      methods: {
        [adsMethods.sotw]: handler("sotw", streams, context),
        [adsMethods.delta]: handler("delta", streams, context),
      },
      chunkAboveBytes: Number.POSITIVE_INFINITY,
      maxConcurrentStreams: context.config.maxStreams,
      limits: {
        connections: context.budgets.of("xds-connections"),
        streams: context.budgets.of("xds-streams-of-connection"),
        resets: context.budgets.of("xds-resets"),
        messageBytes: context.budgets.of("xds-request-bytes"),
        partialBytes: context.budgets.of("xds-partial-bytes"),
        queuedBytes: context.budgets.of("xds-queued-bytes"),
        windowBytes: context.budgets.of("socket-window-bytes"),
        controlBytes: context.budgets.of("socket-control-bytes"),
        memory: context.budgets.memory,
      },
      isPreferred: isEnvoy,
      keepalive: context.config.keepalive,
      onFailure: (path, error) => {
        context.log.error("xDS stream failed", { path, reason: String(error) });
      },
    },
    context,
  );
}

function handler(protocol: XdsProtocol, streams: Set<EnvoyStream>, context: StreamContext): GrpcHandler {
  return {
    kind: "stream",
    async handle(call) {
      const proxied = context.budgets.of("xds-proxied-streams");
      using place = proxied.child();
      if (!place.tryTake()) {
        if (!call.isPreferred()) throw new GrpcError(GrpcStatus.resourceExhausted, proxied.text);
        [...streams].find((other) => !other.call.isPreferred())?.end();
        place.charge(1);
      }
      const stream = new EnvoyStream(call, protocol, context);
      streams.add(stream);
      let result = "cancelled";
      try {
        await stream.run();
      } catch (error) {
        result = "error";
        throw error;
      } finally {
        streams.delete(stream);
        context.metrics.envoyTerminations.inc(result);
      }
    },
  };
}

function statusOf(stream: EnvoyStream): XdsStreamStatus {
  const { protocol, isEnvoy, subscriptions, progress } = stream;
  const types = subscriptions.typeUrls.map((typeUrl) => {
    const { versionAccepted, ...sent } = progress.of(typeUrl);
    const version = shortenPeerText(subscriptions.versionInUse(typeUrl));
    const resourceCount = subscriptions.resourceCount(typeUrl) ?? sent.resourceCount;
    // delta requests have no version: it is that of the response accepted last
    return {
      typeUrl: shortenPeerText(typeUrl),
      ...sent,
      version: version === "" ? versionAccepted : version,
      resourceCount,
    };
  });
  return { protocol, isEnvoy, isConnected: stream.upstream !== undefined, types };
}
