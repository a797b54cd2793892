// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import type { Logger } from "../lib/log/log.ts";
import type { TlsClient } from "../lib/net/tls-client.ts";
import type { ExtensionConverter } from "./upstream/extension-feed.ts";
import type { WorkloadHealth } from "./health/health-state.ts";
import type { OwnType } from "./agent-resources/agent-resource-type.ts";
import type { AcceptedOwnType } from "./agent-resources/feed.ts";
import type { Refusals } from "./rejections.ts";
import type { XdsProtocol } from "./protocol/request.ts";
import type { SentAnswer, Subscriptions, Verdict } from "./subscriptions.ts";
import type { ReadToken } from "../model/token.ts";
import type { XdsConfig } from "./xds-config.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

/** What all streams of one proxy share. */
export interface StreamContext {
  readonly config: XdsConfig;
  /** Comes before the token file. */
  readonly readToken?: ReadToken | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: XdsMetrics;
  /** For connections to the control plane; undefined where they are plaintext. */
  readonly tls: TlsClient | undefined;
  readonly refusals: Refusals;
  readonly ownTypes: readonly OwnType[];
  /** The workload's health as last reported; undefined while it is not known. */
  readonly health: () => WorkloadHealth | undefined;
  /** This stream is Envoy's from now on; an older one of Envoy's is over. */
  readonly claim: (stream: ProxiedStream) => void;
  /** What Envoy has accepted before; undefined keeps nothing. */
  readonly cache: CachedAnswers | undefined;
  /** For extensions that Envoy cannot take as they are; undefined passes them on unchanged. */
  readonly extensions: ExtensionConverter | undefined;
}

/** One client's stream, as those see it that work for it. */
export interface ProxiedStream {
  readonly protocol: XdsProtocol;
  readonly context: StreamContext;
  readonly call: ServerStreamCall;
  readonly subscriptions: Subscriptions;
  readonly isEnvoy: boolean;
  /** Whether a control plane has answered; until then the cache may. */
  isAnswered: boolean;
  /** Ends the stream with OK. */
  end(): void;
  /** Has the control plane told anew what the client has, by a new stream. */
  restart(): void;
}

/** What a stream asks of the cache. */
export interface CachedAnswers {
  /** Begins to keep an answer that is about to be sent; undefined when it is none to keep. */
  record(client: ProxiedStream, typeUrl: string): AnswerRecording | undefined;
  judge(client: ProxiedStream, verdict: Verdict): void;
  /** Keeps what the agent itself has accepted on the client's stream. */
  keep(client: ProxiedStream, accepted: AcceptedOwnType): void;
  /** The client is gone; what it has not accepted is not kept. */
  forget(client: ProxiedStream): void;
  /** The client wants something new of a type. */
  wanted(client: ProxiedStream, typeUrl: string): void;
  /** The control plane is silent: answers in its place until it answers. */
  serve(client: ProxiedStream, signal: AbortSignal): Promise<void>;
}

export interface AnswerRecording {
  /** Keeps the chunks while they pass. */
  tee(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** The answer has been read to its end. */
  complete(answer: SentAnswer): void;
}
