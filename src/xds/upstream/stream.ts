// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { TimeSlice } from "../../lib/async/time-slice.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { Budget } from "../../lib/budget.ts";
import { describeError } from "../../lib/errors.ts";
import type { ClientStream } from "../../lib/grpc/client.ts";
import { eachMessage } from "../../lib/grpc/each-message.ts";
import type { IncomingMessage } from "../../lib/grpc/message.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import type { Logger } from "../../lib/log/log.ts";
import { shortenPeerText } from "../../lib/printable-text.ts";
import { AgentResourceReceiver } from "../agent-resources/agent-resource-receiver.ts";
import type { AgentResourceRecording } from "../agent-resources/agent-resource-type.ts";
import { renderHealthReport, type WorkloadHealth } from "../health-checks.ts";
import { renderRequest } from "../protocol/request.ts";
import { readScanned, type ScanLimits, type ScannedResponse, scanResponse } from "../protocol/scanned-response.ts";
import { shortTypeName, typeUrls } from "../protocol/type-url.ts";
import { WireError } from "../protocol/wire.ts";
import type { ProxiedStream } from "../proxied-stream.ts";
import type { SentResponse } from "../subscriptions.ts";
import type { ExtensionFeed, ResponseOrigin } from "./extension-feed.ts";

export interface UpstreamStreamOptions {
  /** For the log. */
  readonly address: string;
  /** Converts extensions for the client; undefined passes them on as they are. */
  readonly extensions: ExtensionFeed | undefined;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

/** What a request takes in memory until it is sent, however short it is. */
const leastReplyBytes = 1_024;

/** One stream to the control plane: requests out, responses to Envoy or to the agent itself. */
export class UpstreamStream implements ResponseOrigin {
  readonly #client: ProxiedStream;
  readonly #stream: ClientStream;
  readonly #options: UpstreamStreamOptions;
  readonly #ended = new AbortController();
  /** Aborts when this stream has ended, or the client is gone. */
  readonly #signal: AbortSignal;
  readonly #receivers: ReadonlyMap<string, AgentResourceReceiver>;
  readonly #scanLimits: Omit<ScanLimits, "slice">;
  /** The agent's own requests that wait for the control plane to read. */
  readonly #unsentBytes: Budget;
  #hasAgentRequests = false;
  #isAccepted = false;

  constructor(client: ProxiedStream, stream: ClientStream, options: UpstreamStreamOptions) {
    this.#client = client;
    this.#stream = stream;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#ended.signal]);
    const { context, protocol } = client;
    const { budgets } = context;
    this.#scanLimits = {
      textBytes: budgets.of("xds-text-bytes"),
      heldBytes: budgets.of("xds-held-bytes"),
      heldBytesOfResponse: budgets.of("xds-held-bytes-of-response"),
    };
    this.#unsentBytes = budgets.of("xds-unsent-bytes").child();
    const signal = this.#signal;
    const send = this.reply.bind(this);
    const reopen = client.reopenUpstream.bind(client);
    this.#receivers = new Map(
      context.agentResources.map((type) => {
        const record = (): AgentResourceRecording | undefined =>
          type.isCached === true ? context.cache?.recordOwn(client, type.typeUrl) : undefined;
        const receiver = new AgentResourceReceiver(type, { ...context, protocol, send, record, reopen, signal });
        return [type.typeUrl, receiver];
      }),
    );
  }

  /**
   * Sends a request of the client. The agent's own requests follow the client's first one for listeners. Resolves when
   * the next request can be sent, or when the stream has ended: the next stream replays the subscriptions.
   */
  async send(typeUrl: string, request: Uint8Array): Promise<void> {
    const written = this.#write(request);
    if (typeUrl === typeUrls.listener && !this.#hasAgentRequests) this.#sendAgentRequests();
    await written;
  }

  /** Reports a change of the workload's health; not before the client's first request for listeners. */
  report(health: WorkloadHealth): void {
    if (this.#hasAgentRequests) this.reply(renderHealthReport(health, this.#client.protocol));
  }

  cancel(): void {
    this.#stream.cancel();
  }

  get isOpen(): boolean {
    return !this.#signal.aborted;
  }

  /** Sends a request of the agent's own. While too many wait, no further response is read. */
  reply(request: Uint8Array): void {
    const bytes = Math.max(request.length, leastReplyBytes);
    this.#unsentBytes.charge(bytes);
    void this.#write(request).then(() => {
      this.#unsentBytes.release(bytes);
    });
  }

  /** Passes responses on until the stream ends. @throws GrpcError unless it ends with OK */
  async run(): Promise<void> {
    try {
      await eachMessage(this.#stream.responses, (message) => this.#onMessage(message));
    } finally {
      this.#unsentBytes[Symbol.dispose]();
      this.#ended.abort(new Error("the stream to the control plane has ended"));
    }
  }

  async #onMessage(message: IncomingMessage): Promise<boolean> {
    const { outage, metrics, controlPlane, upstreamProblem } = this.#client.context;
    controlPlane?.responded();
    // A stream that is open may still be rejected; a response shows that it was accepted.
    if (!this.#isAccepted) upstreamProblem.works();
    if (!this.#isAccepted) outage.works({ address: this.#options.address, protocol: this.#client.protocol });
    this.#isAccepted = true;
    metrics.responses.inc();
    await this.#onResponse(message);
    await this.#unsentBytes.untilFree(this.#signal);
    return true;
  }

  #sendAgentRequests(): void {
    this.#hasAgentRequests = true;
    for (const typeUrl of this.#receivers.keys()) this.reply(renderRequest({ typeUrl }, this.#client.protocol));
    const health = this.#client.context.health();
    if (health !== undefined) this.report(health);
  }

  async #write(request: Uint8Array): Promise<void> {
    this.#client.context.metrics.requests.inc();
    await this.#stream.write(request).catch(() => undefined);
  }

  async #onResponse(message: IncomingMessage): Promise<void> {
    const { protocol, subscriptions, context } = this.#client;
    let scanned: ScannedResponse;
    try {
      scanned = await scanResponse(message, protocol, (typeUrl) => subscriptions.has(typeUrl), {
        ...this.#scanLimits,
        slice: new TimeSlice(context.clock, this.#signal),
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const fields = { length: message.length, reason: describeError(error) };
      const text = "malformed response from the control plane dropped";
      context.rejectedResponses.failed({ level: "warn", message: text, fields });
      return;
    }
    using response = scanned;
    await this.#route(response);
  }

  async #route(scanned: ScannedResponse): Promise<void> {
    const { subscriptions } = this.#client;
    const { extensions } = this.#options;
    if (!subscriptions.has(scanned.typeUrl)) await this.#consume(scanned);
    else if (scanned.typeUrl === typeUrls.extension && extensions !== undefined) {
      await this.#receiveExtensions(scanned, extensions);
    } else await this.#forward(scanned);
  }

  /** A response over its limit is rejected, and is not kept in memory. */
  async #receiveExtensions(response: ScannedResponse, extensions: ExtensionFeed): Promise<void> {
    const responseBytes = this.#client.context.budgets.of("ecds-response-bytes");
    if (responseBytes.admits(response.length)) {
      await extensions.receive(await readScanned(response), this);
      return;
    }
    for await (const _chunk of response.chunks(() => undefined));
    const { typeUrl, scanner } = response;
    const { nonce, version } = scanner;
    extensions.reject({ typeUrl, nonce, version }, responseBytes.text, this);
  }

  /** Passes a response on as it comes. A slow client delays this stream and no other. */
  async #forward(response: ScannedResponse): Promise<void> {
    const { call, subscriptions, context } = this.#client;
    using _watch = watchSend(response, context);
    this.#client.hasResponse = true;
    const recording = context.cache?.record(this.#client, response.typeUrl);
    const chunks = response.chunks(() => {
      const sent = sentResponse(response);
      subscriptions.sent(sent, true);
      recording?.complete(sent);
    });
    const recorded = recording === undefined ? chunks : recording.tee(chunks);
    await orAborted(call.writeChunks(response.length, recorded), this.#signal);
  }

  /** A response of a type that Envoy has not subscribed to. */
  async #consume(response: ScannedResponse): Promise<void> {
    const receiver = this.#receivers.get(response.typeUrl);
    if (receiver !== undefined) {
      await receiver.receive(response);
      return;
    }
    for await (const _chunk of response.chunks(() => undefined));
    this.#reject(response);
  }

  #reject({ typeUrl, scanner }: ScannedResponse): void {
    const { context, protocol } = this.#client;
    const [type, version] = [shortenPeerText(typeUrl), shortenPeerText(scanner.version)];
    context.metrics.rejections.inc(shortTypeName(typeUrl));
    const message = "unsubscribed resource type rejected";
    context.rejectedResponses.failed({ level: "warn", message, kind: type, fields: { typeUrl: type, version } });
    const error = { code: GrpcStatus.invalidArgument, message: `unsubscribed resource type ${type}` };
    this.reply(renderRequest({ typeUrl, nonce: scanner.nonce, error }, protocol));
  }
}

function sentResponse({ typeUrl, scanner }: ScannedResponse): SentResponse {
  const { version, nonce, resources, removed, resourceCount } = scanner;
  return { typeUrl, version, nonce, resources, removed, resourceCount };
}

/** An Envoy that needs longer to read a response is stuck, or short of processor time. Source: Istio's agent, observed */
const slowAfterMs = 10_000;

/** Warns once when a response is not read in time. Dispose when it has been read. */
export function watchSend(
  { typeUrl, length }: { readonly typeUrl: string; readonly length: number },
  { clock, log, client = "Envoy" }: { readonly clock: Clock; readonly log: Logger; readonly client?: string },
): Disposable {
  const sent = new AbortController();
  clock.delay(slowAfterMs, sent.signal).then(
    () => {
      log.warn(`${client} is slow to read a response`, { typeUrl, length, waitedMs: slowAfterMs });
    },
    () => undefined,
  );
  return {
    [Symbol.dispose]: () => {
      sent.abort();
    },
  };
}
