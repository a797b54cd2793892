// SPDX-License-Identifier: Apache-2.0
import { SerialQueue } from "../lib/async/serial-queue.ts";
import { orAborted, runTasks } from "../lib/async/tasks.ts";
import { TimeSlice } from "../lib/async/time-slice.ts";
import { type Budget, BudgetSpentError } from "../lib/budget.ts";
import { eachMessage } from "../lib/grpc/each-message.ts";
import { type IncomingMessage, readWhole } from "../lib/grpc/message.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import {
  nodeFacts,
  parseRequestSteps,
  type RequestLimits,
  type XdsProtocol,
  type XdsRequest,
} from "./protocol/request.ts";
import { WireError } from "./protocol/wire.ts";
import type { ProxiedStream, StreamContext } from "./proxied-stream.ts";
import { type AppliedRequest, type ReplayedRequest, Subscriptions } from "./subscriptions.ts";
import { SyncProgress } from "./sync-progress.ts";
import { runUpstream } from "./upstream/loop.ts";
import type { UpstreamStream } from "./upstream/stream.ts";

/** The time between two NACKs that are passed on, when there are very many. */
const rejectionPaceMs = 1_000;

/**
 * One ADS stream from Envoy, or from another client of the socket. It stays open while streams to the control plane
 * come and go; each new one is brought to the client's current subscriptions and versions.
 */
export class EnvoyStream implements ProxiedStream {
  readonly protocol: XdsProtocol;
  readonly subscriptions: Subscriptions;
  readonly progress: SyncProgress;
  readonly context: StreamContext;
  readonly call: ServerStreamCall;
  readonly #stop = new AbortController();
  /** The stream to the control plane; undefined while there is none. */
  upstream: UpstreamStream | undefined;
  hasResponse = false;
  /** Undefined once they have been sent, or are too many: then the subscriptions are sent instead. */
  #pending: ReplayedRequest[] | undefined = [];
  readonly #pendingBytes: Budget;
  /** Requests change the subscriptions, and new streams read them, one after the other. */
  readonly #turns = new SerialQueue();
  readonly #requestLimits: RequestLimits;
  readonly #maxNames: Budget;
  readonly #maxTypes: Budget;
  readonly #rejections: Budget;
  #isEnvoy = false;

  constructor(call: ServerStreamCall, protocol: XdsProtocol, context: StreamContext) {
    this.call = call;
    this.protocol = protocol;
    this.context = context;
    const { budgets } = context;
    this.progress = new SyncProgress(() => context.clock.now());
    this.subscriptions = new Subscriptions(protocol, {
      namesBytes: call.isPreferred() ? budgets.of("xds-names-bytes") : budgets.of("xds-names-bytes-of-stream"),
      sentResponses: budgets.of("xds-sent-responses"),
      progress: this.progress,
    });
    this.#pendingBytes = budgets.of("xds-pending-bytes").child();
    this.#maxNames = budgets.of("xds-names").child();
    this.#maxTypes = budgets.of("xds-types").child();
    this.#rejections = budgets.of("xds-rejections-of-stream").child();
    const [nameBytes, textBytes] = [budgets.of("xds-name-bytes"), budgets.of("xds-text-bytes")];
    this.#requestLimits = { names: this.#maxNames, nameBytes, textBytes };
  }

  get isEnvoy(): boolean {
    return this.#isEnvoy;
  }

  /** Runs until the client ends the stream, or `end` is called. @throws GrpcError for a malformed request */
  async run(): Promise<void> {
    const signal = AbortSignal.any([this.call.signal, this.#stop.signal]);
    const { cache } = this.context;
    try {
      await runTasks(signal, [
        (stop) => this.#readRequests(stop),
        (stop) => runUpstream(this, stop),
        ...(cache === undefined ? [] : [(stop: AbortSignal) => this.#serveCacheInTime(stop)]),
      ]);
    } finally {
      cache?.forget(this);
      this.subscriptions[Symbol.dispose]();
      this.#pendingBytes[Symbol.dispose]();
      this.#maxNames[Symbol.dispose]();
      this.#maxTypes[Symbol.dispose]();
      this.#rejections[Symbol.dispose]();
    }
  }

  end(): void {
    this.#stop.abort(new Error("another stream took over"));
  }

  /** Uses a new stream to the control plane, and brings it to the client's state. @throws the signal's reason */
  async attach(upstream: UpstreamStream, signal: AbortSignal): Promise<void> {
    const slice = new TimeSlice(this.context.clock, signal);
    await this.#turns.run(async () => {
      const replay = await slice.run(this.subscriptions.replay());
      this.#start(upstream, this.#pending ?? replay);
    });
  }

  #start(upstream: UpstreamStream, requests: readonly ReplayedRequest[]): void {
    this.#dropPending();
    this.upstream = upstream;
    for (const { typeUrl, bytes } of requests) void upstream.send(typeUrl, bytes);
  }

  detach(): void {
    this.upstream = undefined;
  }

  reopenUpstream(): void {
    this.#dropPending();
    this.upstream?.cancel();
  }

  #readRequests(signal: AbortSignal): Promise<void> {
    const giveWay = (): Promise<void> => this.context.clock.delay(0, signal);
    const handle = async (message: IncomingMessage): Promise<boolean> => {
      await this.#onRequest(message, signal);
      return true;
    };
    return eachMessage(this.call.requests, handle, { signal, giveWay });
  }

  async #onRequest(message: IncomingMessage, signal: AbortSignal): Promise<void> {
    const bytes = await readWhole(message);
    this.#countBytes(bytes.length);
    const { request, applied } = await this.#apply(bytes, new TimeSlice(this.context.clock, signal));
    const { forward, acknowledgement, isChanged } = applied;
    if (isChanged) this.#limitSubscriptions(request.typeUrl);
    this.#recogniseEnvoy(request);
    if (acknowledgement !== undefined) {
      this.context.rejections.record(acknowledgement);
      this.context.cache?.onAcknowledged(this, acknowledgement);
      if (acknowledgement.kind === "nack") await this.#paceRejections(signal);
    }
    if (isChanged) await this.context.cache?.onSubscribe(this, request.typeUrl);
    if (forward === undefined) return;
    if (this.upstream === undefined) this.#keep(request.typeUrl, bytes);
    else await this.upstream.send(request.typeUrl, forward);
  }

  /** Each NACK may cause the next one at once, with lines in both logs. */
  async #paceRejections(signal: AbortSignal): Promise<void> {
    const { clock } = this.context;
    if (!this.#rejections.tryTakeAt(clock.monotonicMs())) await clock.delay(rejectionPaceMs, signal);
  }

  /** @throws GrpcError for a malformed or too large request */
  async #apply(
    bytes: Uint8Array,
    slice: TimeSlice,
  ): Promise<{ readonly request: XdsRequest; readonly applied: AppliedRequest }> {
    try {
      const request = await slice.run(parseRequestSteps(bytes, this.protocol, this.#requestLimits));
      const applied = await this.#turns.run(() => slice.run(this.subscriptions.apply(request, bytes)));
      return { request, applied };
    } catch (error) {
      if (error instanceof BudgetSpentError) {
        throw new GrpcError(GrpcStatus.resourceExhausted, error.message, { cause: error });
      }
      if (!(error instanceof WireError)) throw error;
      throw new GrpcError(GrpcStatus.invalidArgument, `not a discovery request: ${error.message}`, { cause: error });
    }
  }

  /** @throws GrpcError when the client has subscribed to more than the limits allow */
  #limitSubscriptions(typeUrl: string): void {
    const exceeded = [
      { budget: this.#maxTypes, count: this.subscriptions.typeUrls.length },
      { budget: this.#maxNames, count: this.subscriptions.nameCount(typeUrl) },
    ].find(({ budget, count }) => !budget.admits(count));
    if (exceeded !== undefined) throw new GrpcError(GrpcStatus.resourceExhausted, exceeded.budget.text);
  }

  #keep(typeUrl: string, bytes: Uint8Array): void {
    if (this.#pending === undefined) return;
    if (this.#pendingBytes.tryTake(bytes.length)) this.#pending.push({ typeUrl, bytes });
    else this.#dropPending();
  }

  #dropPending(): void {
    this.#pending = undefined;
    this.#pendingBytes.release(this.#pendingBytes.used);
  }

  /** The first request with a node names the program. Envoy has one stream; a second one replaces the first. */
  #recogniseEnvoy(request: XdsRequest): void {
    if (this.#isEnvoy || request.node === undefined) return;
    if (nodeFacts(request.node).userAgent !== "envoy") return;
    this.#isEnvoy = true;
    this.context.onEnvoy(this);
  }

  #countBytes(bytes: number): void {
    const { lastRequestBytes, largestRequestBytes } = this.context.metrics;
    lastRequestBytes.set(bytes);
    if (bytes > largestRequestBytes.value()) largestRequestBytes.set(bytes);
  }

  async #serveCacheInTime(signal: AbortSignal): Promise<void> {
    const { cache, clock, config } = this.context;
    await clock.delay(config.cache?.serveAfterMs ?? 0, signal);
    if (!this.hasResponse) await cache?.serve(this, signal);
    await orAborted(new Promise<never>(() => undefined), signal);
  }
}
