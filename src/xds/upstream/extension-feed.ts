// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import { describeError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { shortenPeerText } from "../../lib/printable-text.ts";
import { renderRequest } from "../protocol/request.ts";
import { parseResponse, renderResponse, type XdsResponse } from "../protocol/response.ts";
import type { ConvertedExtensions, ExtensionConverter, ProxiedStream } from "../proxied-stream.ts";

const retryPolicy = { firstMs: 5_000, factor: 2, maxMs: 60_000 };

/** The stream to the control plane that a response came on. */
export interface ResponseOrigin {
  /** False once the stream has ended: its nonces mean nothing to the next one. */
  readonly isOpen: boolean;
  /** Sends a request on the stream; dropped when the stream has ended. */
  reply(request: Uint8Array): void;
}

/**
 * Responses with extensions (ECDS) for one client, from all its streams to the control plane. They are converted
 * concurrently and sent in the order in which they came; responses of other types overtake them. A missing module is
 * retried until it is there, or until the control plane sends a newer response.
 */
export class ExtensionFeed {
  readonly #client: ProxiedStream;
  readonly #converter: ExtensionConverter;
  readonly #signal: AbortSignal;
  readonly #queue = new SerialQueue();
  #received = 0;
  /** Aborts when a newer response has come. */
  #retrying: AbortController | undefined;
  #nonces = 0;

  /** @param signal aborts when the client is gone */
  constructor(client: ProxiedStream, converter: ExtensionConverter, signal: AbortSignal) {
    this.#client = client;
    this.#converter = converter;
    this.#signal = signal;
  }

  /** Resolves when the next response can be taken: while too many are converted, the stream is not read. */
  async receive(bytes: Uint8Array, origin: ResponseOrigin): Promise<void> {
    const { protocol, context } = this.#client;
    const response = parseResponse(bytes, protocol);
    const number = ++this.#received;
    this.#retrying?.abort(new Error("a newer response came"));
    const count = context.budgets.of("ecds-resources");
    if (!count.admits(response.resources.length)) {
      this.reject(response, count.text, origin);
      return;
    }
    const conversions = context.budgets.of("ecds-conversions");
    conversions.charge(1);
    const converting = this.#convert(response, this.#signal);
    converting.catch(() => undefined);
    void this.#queue.run(async () => {
      try {
        await this.#send({ response, bytes, number, origin }, converting);
      } finally {
        conversions.release(1);
      }
    });
    await conversions.untilFree(this.#signal).catch(() => undefined);
  }

  /** Reports a response that is not used. */
  reject(
    { typeUrl, nonce, version: receivedVersion = "" }: RejectedResponse,
    reason: string,
    origin: ResponseOrigin,
  ): void {
    const { subscriptions, context, protocol } = this.#client;
    const { metrics, rejectedResponses, outcomes } = context;
    // The names of extensions in it are as long as the control plane makes them.
    const message = shortenPeerText(reason);
    metrics.rejections.inc("ecds");
    outcomes?.record({ typeUrl, version: receivedVersion, error: message });
    const fields = { typeUrl, reason: message };
    rejectedResponses.failed({ level: "warn", message: "agent rejected extensions", kind: message, fields });
    const version = subscriptions.versionInUse(typeUrl);
    origin.reply(renderRequest({ typeUrl, version, nonce, error: { code: GrpcStatus.internal, message } }, protocol));
  }

  #convert({ resources, removed }: XdsResponse, signal: AbortSignal): Promise<ConvertedExtensions> {
    return this.#converter.convert({ resources, removed, isComplete: this.#client.protocol === "sotw" }, signal);
  }

  async #send(received: ReceivedResponse, converting: Promise<ConvertedExtensions>): Promise<void> {
    const { response, bytes, origin } = received;
    const { subscriptions, protocol, call } = this.#client;
    let converted: ConvertedExtensions;
    try {
      converted = await converting;
    } catch (error) {
      if (!this.#signal.aborted) this.reject(response, describeError(error), origin);
      return;
    }
    const { resources, isChanged, canRetry } = converted;
    subscriptions.sent({ ...response, resources, resourceCount: resources.length }, origin.isOpen);
    this.#client.hasResponse = true;
    this.#client.context.outcomes?.record({ ...response, error: undefined });
    await call.write(isChanged ? renderResponse({ ...response, resources }, protocol) : bytes).catch(() => undefined);
    if (canRetry) void this.#retry(received).catch(() => undefined);
  }

  /** Until no retry can get more, or a newer response came. */
  async #retry({ response, number }: ReceivedResponse): Promise<void> {
    if (this.#received !== number) return;
    const { clock, random, log } = this.#client.context;
    this.#retrying = new AbortController();
    const signal = AbortSignal.any([this.#signal, this.#retrying.signal]);
    for (let attempt = 0; ; attempt++) {
      await clock.delay(backoffMs(retryPolicy, attempt, random(), retryPolicy.firstMs / 2), signal);
      const converted = await this.#convert(response, signal);
      signal.throwIfAborted();
      if (converted.canRetry) continue;
      log.info("missing Wasm modules fetched", { typeUrl: response.typeUrl, missing: converted.failed });
      const nonce = `attache-${String(++this.#nonces)}`;
      const { resources } = converted;
      const update = { ...response, nonce, resources, resourceCount: resources.length };
      this.#client.subscriptions.sent(update, false);
      await this.#client.call.write(renderResponse(update, this.#client.protocol)).catch(() => undefined);
      return;
    }
  }
}

type RejectedResponse = Pick<XdsResponse, "typeUrl" | "nonce"> & { readonly version?: string };

interface ReceivedResponse {
  readonly response: XdsResponse;
  readonly bytes: Uint8Array;
  /** Counts the responses: a retry ends when a newer one came. */
  readonly number: number;
  readonly origin: ResponseOrigin;
}
