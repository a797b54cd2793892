// SPDX-License-Identifier: Apache-2.0
import { type IncomingMessage, readWhole } from "../lib/grpc/message.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { orAborted, runTasks } from "../lib/async/tasks.ts";
import type { ProxiedStream, StreamContext } from "./proxied-stream.ts";
import { nodeFacts, parseRequest, type XdsProtocol, type XdsRequest } from "./protocol/request.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { UpstreamLink } from "./upstream/stream.ts";
import { runUpstream } from "./upstream/loop.ts";
import { WireError } from "./protocol/wire.ts";

/** Requests kept as they came until the first control plane can have them. */
const longestPendingBytes = 1024 * 1024;

/**
 * One stream from Envoy, or from another client of the socket. It stays open while streams to the control plane come
 * and go; each new one is brought to the state that the client is in.
 */
export class EnvoyStream implements ProxiedStream {
  readonly protocol: XdsProtocol;
  readonly subscriptions: Subscriptions;
  readonly context: StreamContext;
  readonly call: ServerStreamCall;
  readonly #stop = new AbortController();
  /** The stream to the control plane, while there is one. */
  link: UpstreamLink | undefined;
  /** Whether a control plane has answered; until then the cache may. */
  isAnswered = false;
  #pending: { readonly typeUrl: string; readonly bytes: Uint8Array }[] | undefined = [];
  #pendingBytes = 0;
  #isEnvoy = false;

  constructor(call: ServerStreamCall, protocol: XdsProtocol, context: StreamContext) {
    this.call = call;
    this.protocol = protocol;
    this.context = context;
    this.subscriptions = new Subscriptions(protocol);
  }

  get isEnvoy(): boolean {
    return this.#isEnvoy;
  }

  /** Runs until the client ends the stream, or `end` is called. @throws GrpcError for requests that are none */
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
    }
  }

  /** Ends the stream with OK. */
  end(): void {
    this.#stop.abort(new Error("another stream took over"));
  }

  /** A stream to the control plane is open: brings it to the client's state, and sends there from now on. */
  attach(link: UpstreamLink): void {
    const replay = this.subscriptions.replay();
    const requests = this.#pending ?? replay;
    this.#pending = undefined;
    this.link = link;
    for (const { typeUrl, bytes } of requests) void link.send(typeUrl, bytes);
  }

  detach(): void {
    this.link = undefined;
  }

  /** Lets the control plane of now be told anew what the client has, by a new stream. */
  restart(): void {
    this.#pending = undefined;
    this.link?.cancel();
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
    this.#measure(bytes.length);
    const request = parseOrRefuse(bytes, this.protocol);
    const { forward, verdict, changed } = this.subscriptions.note(request, bytes);
    this.#recognise(request);
    if (verdict !== undefined) {
      this.context.refusals.note(verdict);
      this.context.cache?.judge(this, verdict);
    }
    if (changed) this.context.cache?.wanted(this, request.typeUrl);
    if (forward === undefined) return;
    if (this.link === undefined) this.#keep(request.typeUrl, bytes);
    else await this.link.send(request.typeUrl, forward);
  }

  #keep(typeUrl: string, bytes: Uint8Array): void {
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > longestPendingBytes) this.#pending = undefined;
    this.#pending?.push({ typeUrl, bytes });
  }

  /** Envoy has one stream at a time; when it opens another, the older one is a remnant. */
  #recognise(request: XdsRequest): void {
    if (this.#isEnvoy || request.node === undefined) return;
    if (nodeFacts(request.node).userAgent !== "envoy") return;
    this.#isEnvoy = true;
    this.context.claim(this);
  }

  #measure(bytes: number): void {
    const { lastRequestBytes, largestRequestBytes } = this.context.metrics;
    lastRequestBytes.set(bytes);
    if (bytes > largestRequestBytes.value()) largestRequestBytes.set(bytes);
  }

  async #serveCacheInTime(signal: AbortSignal): Promise<void> {
    const { cache, clock, config } = this.context;
    await clock.delay(config.cache?.serveAfterMs ?? 0, signal);
    if (!this.isAnswered) await cache?.serve(this, signal);
    await orAborted(new Promise<never>(() => undefined), signal);
  }
}

function parseOrRefuse(bytes: Uint8Array, protocol: XdsProtocol): XdsRequest {
  try {
    return parseRequest(bytes, protocol);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new GrpcError(GrpcStatus.invalidArgument, `not a discovery request: ${error.message}`, { cause: error });
  }
}
