// SPDX-License-Identifier: Apache-2.0
import type { ClientStream } from "../../lib/grpc/client.ts";
import type { IncomingMessage } from "../../lib/grpc/message.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { describeError } from "../../lib/errors.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { AnswerOrigin, ExtensionFeed } from "./extension-feed.ts";
import { renderHealthReport, type WorkloadHealth } from "../health/health-state.ts";
import { type AcceptedOwnType, OwnTypeFeed } from "../agent-resources/feed.ts";
import type { ProxiedStream } from "../proxied-stream.ts";
import { renderRequest } from "../protocol/request.ts";
import { parseResponse } from "../protocol/response.ts";
import { readScanned, type ScannedMessage, scanMessage } from "../protocol/scanned-response.ts";
import { watchSend } from "./slow-send.ts";
import type { SentAnswer } from "../subscriptions.ts";
import { shortTypeName, typeUrls } from "../protocol/type-url.ts";
import { WireError } from "../protocol/wire.ts";

/** One stream to the control plane: requests out, answers to Envoy or to the agent itself. */
export class UpstreamLink implements AnswerOrigin {
  readonly #client: ProxiedStream;
  readonly #stream: ClientStream;
  /** Aborts when this stream has ended, and when the client is gone. */
  readonly #signal: AbortSignal;
  readonly #ended = new AbortController();
  readonly #feeds: ReadonlyMap<string, OwnTypeFeed>;
  readonly #extensions: ExtensionFeed | undefined;
  #isTriggered = false;

  /** @param extensions converts extensions for the client; undefined passes them on as they are */
  constructor(client: ProxiedStream, stream: ClientStream, extensions: ExtensionFeed | undefined, stop: AbortSignal) {
    this.#client = client;
    this.#stream = stream;
    this.#extensions = extensions;
    this.#signal = AbortSignal.any([stop, this.#ended.signal]);
    const { context, protocol } = client;
    const { log, metrics } = context;
    const signal = this.#signal;
    const reply = this.reply.bind(this);
    this.#feeds = new Map(
      context.ownTypes.map((type) => {
        const onAccepted = (accepted: AcceptedOwnType): void => {
          if (type.isKept === true) context.cache?.keep(client, accepted);
        };
        return [type.typeUrl, new OwnTypeFeed(type, { protocol, log, metrics, reply, onAccepted, signal })];
      }),
    );
  }

  /**
   * Sends a request of the client's. Directly after the first one for listeners come the agent's own.
   * Resolves when there is module for more, or when the stream is gone: then the next one is told of it anyway.
   */
  async send(typeUrl: string, request: Uint8Array): Promise<void> {
    const written = this.#write(request);
    if (typeUrl === typeUrls.listener && !this.#isTriggered) this.#trigger();
    await written;
  }

  /** Reports a change of the workload's health, unless it is too early for it. */
  report(health: WorkloadHealth): void {
    if (this.#isTriggered) this.reply(renderHealthReport(health, this.#client.protocol));
  }

  cancel(): void {
    this.#stream.cancel();
  }

  get isOpen(): boolean {
    return !this.#signal.aborted;
  }

  reply(request: Uint8Array): void {
    void this.#write(request);
  }

  /** Hands on answers until the stream ends. @throws GrpcError unless it ends with OK */
  async run(): Promise<void> {
    try {
      for await (const message of this.#stream.responses) {
        this.#client.context.metrics.responses.inc();
        await this.#onResponse(message);
      }
    } finally {
      this.#ended.abort(new Error("the stream to the control plane has ended"));
    }
  }

  #trigger(): void {
    this.#isTriggered = true;
    for (const typeUrl of this.#feeds.keys()) this.reply(renderRequest({ typeUrl }, this.#client.protocol));
    const health = this.#client.context.health();
    if (health !== undefined) this.report(health);
  }

  async #write(request: Uint8Array): Promise<void> {
    this.#client.context.metrics.requests.inc();
    await this.#stream.write(request).catch(() => undefined);
  }

  async #onResponse(message: IncomingMessage): Promise<void> {
    let scanned: ScannedMessage;
    try {
      scanned = await scanMessage(message, this.#client.protocol);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const { length } = message;
      this.#client.context.log.warn("dropped an answer of the control plane", { length, reason: describeError(error) });
      return;
    }
    if (!this.#client.subscriptions.has(scanned.typeUrl)) await this.#consume(scanned);
    else if (scanned.typeUrl === typeUrls.extension && this.#extensions !== undefined) {
      await this.#extensions.receive(await readScanned(scanned), this);
    } else await this.#forward(scanned);
  }

  /** A slow client holds this stream back, and nothing else. */
  async #forward(message: ScannedMessage): Promise<void> {
    const { call, subscriptions, context } = this.#client;
    using _watch = watchSend(message, context);
    this.#client.isAnswered = true;
    const recording = context.cache?.record(this.#client, message.typeUrl);
    const chunks = message.chunks(() => {
      const answer = answerOf(message);
      subscriptions.sent(answer, true);
      recording?.complete(answer);
    });
    const teed = recording === undefined ? chunks : recording.tee(chunks);
    await orAborted(call.writeChunks(message.length, teed), this.#signal);
  }

  async #consume(message: ScannedMessage): Promise<void> {
    const feed = this.#feeds.get(message.typeUrl);
    if (feed !== undefined) {
      feed.receive(parseResponse(await readScanned(message), this.#client.protocol));
      return;
    }
    for await (const _chunk of message.chunks(() => undefined));
    this.#refuse(message);
  }

  #refuse({ typeUrl, scanner }: ScannedMessage): void {
    const { context, protocol } = this.#client;
    context.metrics.rejections.inc(shortTypeName(typeUrl));
    context.log.warn("refused a type that nobody here asked for", { typeUrl, version: scanner.version });
    const error = { code: GrpcStatus.invalidArgument, message: `${typeUrl}: nobody here asked for this type` };
    this.reply(renderRequest({ typeUrl, nonce: scanner.nonce, error }, protocol));
  }
}

function answerOf({ typeUrl, scanner }: ScannedMessage): SentAnswer {
  const { version, nonce, resources, removed } = scanner;
  return { typeUrl, version, nonce, resources, removed };
}
