// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { describeError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { ProxiedStream } from "../proxied-stream.ts";
import { renderRequest } from "../protocol/request.ts";
import { parseResponse, renderResponse, type XdsResource, type XdsResponse } from "../protocol/response.ts";

/** Extensions as Envoy shall have them. */
export interface ConvertedExtensions {
  readonly resources: readonly XdsResource[];
  readonly isChanged: boolean;
  /** Names of those that something was missing for. */
  readonly failed: readonly string[];
  /** Whether another try may give what was missing. */
  readonly canRetry: boolean;
}

export interface ExtensionConverter {
  /** @throws Error when a resource is none of its type */
  convert(resources: readonly XdsResource[], signal: AbortSignal): Promise<ConvertedExtensions>;
}

/** Conversions under way at once; then the control plane is held back. */
const mostWaiting = 4;

const retryPolicy = { firstMs: 5_000, factor: 2, maxMs: 60_000 };

/** The stream to the control plane that an answer came on. */
export interface AnswerOrigin {
  /** False once the stream has ended: its nonces mean nothing to the next one. */
  readonly isOpen: boolean;
  /** Sends a request there; one that comes too late is dropped. */
  reply(request: Uint8Array): void;
}

/**
 * Answers with extensions, for one client, whichever stream to the control plane they come on: converted side by side,
 * sent in the order in which they came, while answers of other types pass them by. What was missing is tried again until
 * it is there, or until a control plane sends something newer.
 */
export class ExtensionFeed {
  readonly #client: ProxiedStream;
  readonly #converter: ExtensionConverter;
  readonly #signal: AbortSignal;
  readonly #turns = new SerialQueue();
  #waiting = 0;
  #received = 0;
  #ownNonces = 0;

  /** @param signal ends all work: the client is gone */
  constructor(client: ProxiedStream, converter: ExtensionConverter, signal: AbortSignal) {
    this.#client = client;
    this.#converter = converter;
    this.#signal = signal;
  }

  /** Resolves when there is module for another. */
  async receive(bytes: Uint8Array, origin: AnswerOrigin): Promise<void> {
    const response = parseResponse(bytes, this.#client.protocol);
    const number = ++this.#received;
    const converting = this.#converter.convert(response.resources, this.#signal);
    converting.catch(() => undefined);
    this.#waiting++;
    const sending = this.#turns.run(async () => {
      try {
        await this.#send({ response, bytes, number, origin }, converting);
      } finally {
        this.#waiting--;
      }
    });
    if (this.#waiting >= mostWaiting) await sending;
  }

  async #send(received: Received, converting: Promise<ConvertedExtensions>): Promise<void> {
    const { response, bytes, origin } = received;
    const { subscriptions, protocol, call } = this.#client;
    let converted: ConvertedExtensions;
    try {
      converted = await converting;
    } catch (error) {
      if (!this.#signal.aborted) this.#refuse(response, describeError(error), origin);
      return;
    }
    const { resources, isChanged, canRetry } = converted;
    subscriptions.sent({ ...response, resources }, origin.isOpen);
    this.#client.isAnswered = true;
    await call.write(isChanged ? renderResponse({ ...response, resources }, protocol) : bytes).catch(() => undefined);
    if (canRetry) void this.#retry(received).catch(() => undefined);
  }

  /** Until all is there that can be had, or a newer answer came. */
  async #retry({ response, number }: Received): Promise<void> {
    const { clock, random, log } = this.#client.context;
    for (let attempt = 0; ; attempt++) {
      await clock.delay(backoffMs(retryPolicy, attempt, random(), retryPolicy.firstMs / 2), this.#signal);
      if (this.#received !== number) return;
      const converted = await this.#converter.convert(response.resources, this.#signal);
      if (this.#received !== number) return;
      if (converted.canRetry) continue;
      log.info("the modules that were missing are there", { typeUrl: response.typeUrl, missing: converted.failed });
      const nonce = `attache-${String(++this.#ownNonces)}`;
      const answer = { ...response, nonce, resources: converted.resources };
      this.#client.subscriptions.sent(answer, false);
      await this.#client.call.write(renderResponse(answer, this.#client.protocol)).catch(() => undefined);
      return;
    }
  }

  #refuse({ typeUrl, nonce }: XdsResponse, message: string, origin: AnswerOrigin): void {
    const { subscriptions, context, protocol } = this.#client;
    context.metrics.rejections.inc("ecds");
    context.log.warn("the agent refused extensions", { typeUrl, reason: message });
    const version = subscriptions.versionInUse(typeUrl);
    origin.reply(renderRequest({ typeUrl, version, nonce, error: { code: GrpcStatus.internal, message } }, protocol));
  }
}

interface Received {
  readonly response: XdsResponse;
  readonly bytes: Uint8Array;
  /** Counts the answers, so that a newer one is known. */
  readonly number: number;
  readonly origin: AnswerOrigin;
}
