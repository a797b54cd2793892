// SPDX-License-Identifier: Apache-2.0
import { orAborted, runTasks } from "../lib/async/tasks.ts";
import { type Budget, BudgetSpentError } from "../lib/budget.ts";
import { type IncomingMessage, readWhole } from "../lib/grpc/message.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { nodeFacts, parseRequest, type XdsProtocol, type XdsRequest } from "./protocol/request.ts";
import { WireError } from "./protocol/wire.ts";
import type { ProxiedStream, StreamContext } from "./proxied-stream.ts";
import { Subscriptions } from "./subscriptions.ts";
import { runUpstream } from "./upstream/loop.ts";
import type { UpstreamStream } from "./upstream/stream.ts";

/** Requests that are kept as they came until the first stream to the control plane is open. */
const maxPendingBytes = 1024 * 1024;

/**
 * One ADS stream from Envoy, or from another client of the socket. It stays open while streams to the control plane
 * come and go; each new one is brought to the client's current subscriptions and versions.
 */
export class EnvoyStream implements ProxiedStream {
  readonly protocol: XdsProtocol;
  readonly subscriptions: Subscriptions;
  readonly context: StreamContext;
  readonly call: ServerStreamCall;
  readonly #stop = new AbortController();
  /** The stream to the control plane; undefined while there is none. */
  upstream: UpstreamStream | undefined;
  hasResponse = false;
  /** Undefined once they have been sent, or are too many: then the subscriptions are sent instead. */
  #pending: { readonly typeUrl: string; readonly bytes: Uint8Array }[] | undefined = [];
  #pendingBytes = 0;
  readonly #maxNames: Budget;
  readonly #maxTypes: Budget;
  #isEnvoy = false;

  constructor(call: ServerStreamCall, protocol: XdsProtocol, context: StreamContext) {
    this.call = call;
    this.protocol = protocol;
    this.context = context;
    this.subscriptions = new Subscriptions(protocol);
    this.#maxNames = context.budgets.of("xds-names").child();
    this.#maxTypes = context.budgets.of("xds-types").child();
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
      this.#maxNames[Symbol.dispose]();
      this.#maxTypes[Symbol.dispose]();
    }
  }

  end(): void {
    this.#stop.abort(new Error("another stream took over"));
  }

  /** Uses a new stream to the control plane, and brings it to the client's state. */
  attach(upstream: UpstreamStream): void {
    const replay = this.subscriptions.replay();
    const requests = this.#pending ?? replay;
    this.#pending = undefined;
    this.upstream = upstream;
    for (const { typeUrl, bytes } of requests) void upstream.send(typeUrl, bytes);
  }

  detach(): void {
    this.upstream = undefined;
  }

  reopenUpstream(): void {
    this.#pending = undefined;
    this.upstream?.cancel();
  }

  async #readRequests(signal: AbortSignal): Promise<void> {
    const requests = this.call.requests[Symbol.asyncIterator]();
    for (;;) {
      const next = await orAborted(requests.next(), signal);
      if (next.done === true) return;
      await orAborted(this.#onRequest(next.value), signal);
    }
  }

  async #onRequest(message: IncomingMessage): Promise<void> {
    const bytes = await readWhole(message);
    this.#countBytes(bytes.length);
    const request = this.#parse(bytes);
    const { forward, acknowledgement, isChanged } = this.subscriptions.apply(request, bytes);
    if (isChanged) this.#limitSubscriptions(request.typeUrl);
    this.#recogniseEnvoy(request);
    if (acknowledgement !== undefined) {
      this.context.rejections.record(acknowledgement);
      this.context.cache?.onAcknowledged(this, acknowledgement);
    }
    if (isChanged) this.context.cache?.onSubscribe(this, request.typeUrl);
    if (forward === undefined) return;
    if (this.upstream === undefined) this.#keep(request.typeUrl, bytes);
    else await this.upstream.send(request.typeUrl, forward);
  }

  /** @throws GrpcError */
  #parse(bytes: Uint8Array): XdsRequest {
    try {
      return parseRequest(bytes, this.protocol, this.#maxNames);
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
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > maxPendingBytes) this.#pending = undefined;
    this.#pending?.push({ typeUrl, bytes });
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
