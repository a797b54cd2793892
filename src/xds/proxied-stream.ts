// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import type { Logger } from "../lib/log/log.ts";
import type { OutageLog } from "../lib/log/outage-log.ts";
import type { RepeatedWarnings } from "../lib/log/repeated-warnings.ts";
import type { TlsClient } from "../lib/net/tls-client.ts";
import type { Budgets } from "../model/limits.ts";
import type { ReadToken } from "../model/token.ts";
import type { AgentResourceRecording, AgentResourceType } from "./agent-resources/agent-resource-type.ts";
import type { AgentResourceOutcomes } from "./agent-resources/agent-resource-outcomes.ts";
import type { WorkloadHealth } from "./health-checks.ts";
import type { XdsProtocol } from "./protocol/request.ts";
import type { XdsResource } from "./protocol/response.ts";
import type { Rejections } from "./rejections.ts";
import type { Acknowledgement, SentResponse, Subscriptions } from "./subscriptions.ts";
import type { ControlPlaneState } from "./upstream/control-plane-state.ts";
import type { UpstreamProblem } from "./upstream/upstream-problem.ts";
import type { XdsConfig } from "./xds-config.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

/** A client's ADS stream, as the files that serve it see it. */
export interface ProxiedStream {
  readonly protocol: XdsProtocol;
  readonly context: StreamContext;
  readonly call: ServerStreamCall;
  readonly subscriptions: Subscriptions;
  readonly isEnvoy: boolean;
  /** Whether the control plane has responded; until then the cache may respond in its place. */
  hasResponse: boolean;
  /** Ends the stream with OK. */
  end(): void;
  /** Reopens the stream to the control plane, so that it learns what the client has now. */
  reopenUpstream(): void;
}

/** What all streams of one proxy share. */
export interface StreamContext {
  readonly config: XdsConfig;
  /** Takes precedence over the token file. */
  readonly readToken?: ReadToken | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: XdsMetrics;
  readonly budgets: Budgets;
  /** Reports that the control plane fails and that it works, for all streams. */
  readonly outage: OutageLog;
  /** Why nothing comes from the control plane, for people. */
  readonly upstreamProblem: UpstreamProblem;
  /** Limits log lines that tries to connect cause. */
  readonly connectionWarnings: RepeatedWarnings;
  /** Responses of the control plane that the agent itself rejected. */
  readonly rejectedResponses: OutageLog;
  /** For connections to the control plane; undefined where they are plaintext. */
  readonly tls: TlsClient | undefined;
  readonly rejections: Rejections;
  readonly agentResources: readonly AgentResourceType[];
  /** What became of responses that the agent itself reads. */
  readonly outcomes?: AgentResourceOutcomes;
  /** How the connections to the control plane go. */
  readonly controlPlane?: ControlPlaneState;
  /** The workload's health as last reported; undefined while it is not known. */
  readonly health: () => WorkloadHealth | undefined;
  /** Reports that a stream is Envoy's; older streams of Envoy's are closed. */
  readonly onEnvoy: (stream: ProxiedStream) => void;
  /** Undefined where no responses are kept. */
  readonly cache: CachedResponses | undefined;
  /** For extensions that Envoy cannot take as they are; undefined passes them on unchanged. */
  readonly extensions: ExtensionConverter | undefined;
}

/** The response cache, as a stream uses it. */
export interface CachedResponses {
  /** Starts to record a response that is about to be sent; undefined when it is not to be kept. */
  record(client: ProxiedStream, typeUrl: string): ResponseRecording | undefined;
  /** Keeps the recorded response after an ACK, and discards it after a NACK. */
  onAcknowledged(client: ProxiedStream, acknowledgement: Acknowledgement): void;
  /** Starts to record a response of a type that the agent itself has subscribed to; undefined when it is not to be kept. */
  recordOwn(client: ProxiedStream, typeUrl: string): AgentResourceRecording | undefined;
  /** The client is gone; what it has not accepted is discarded. */
  forget(client: ProxiedStream): void;
  /** The client has changed its subscription to a type. Resolves when the client has read what it gets for this. */
  onSubscribe(client: ProxiedStream, typeUrl: string): Promise<void>;
  /** The control plane does not respond: serves the client from the cache until it does. */
  serve(client: ProxiedStream, signal: AbortSignal): Promise<void>;
}

export interface ResponseRecording {
  /** Records the chunks while they pass. */
  tee(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** All of the response has been read. */
  complete(response: SentResponse): void;
}

/** Rewrites extension configurations (ECDS) that name remote Wasm modules. */
export interface ExtensionConverter {
  /** @throws Error when a resource is not an extension configuration */
  convert(update: ExtensionUpdate, signal: AbortSignal): Promise<ConvertedExtensions>;
}

/** What one response changes. */
export interface ExtensionUpdate {
  readonly resources: readonly XdsResource[];
  readonly removed: readonly string[];
  /** Whether there are no other extensions than these, as with state of the world. */
  readonly isComplete: boolean;
}

export interface ConvertedExtensions {
  readonly resources: readonly XdsResource[];
  readonly isChanged: boolean;
  /** Names of the extensions whose module is missing. */
  readonly failed: readonly string[];
  /** Whether a retry may get what is missing. */
  readonly canRetry: boolean;
}
