// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { PendingRecord, RecordHead } from "./cache-record.ts";
import { type CachedState, CacheStore } from "./cache-store.ts";
import type { OwnType } from "../agent-resources/agent-resource-type.ts";
import type { AcceptedOwnType } from "../agent-resources/feed.ts";
import type { AnswerRecording, CachedAnswers, ProxiedStream } from "../proxied-stream.ts";
import { nodeFacts } from "../protocol/request.ts";
import { anyOf, contentOf, renderResponse } from "../protocol/response.ts";
import type { SentAnswer, Verdict } from "../subscriptions.ts";
import { typeUrls } from "../protocol/type-url.ts";
import type { XdsCacheConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";

export interface AnswerCacheDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Pick<XdsMetrics, "cacheStalenessSeconds">;
  /** Told when the cache begins to serve, and, with undefined, when it no longer does. */
  readonly onCache?: (status: CacheStatus | undefined) => void;
  readonly ownTypes: readonly OwnType[];
}

/** While the cache serves, for the status page. */
export interface CacheStatus {
  readonly servingSinceMs: number;
  /** When the control plane was last heard of. */
  readonly savedAtMs: number;
}

/** An answer of state of the world says everything there is only for these types. Source: Envoy's xDS protocol */
const wholeTypes: ReadonlySet<string> = new Set([typeUrls.listener, typeUrls.cluster]);

/**
 * Keeps what Envoy accepts, and answers from it when a control plane is silent at the start. Secrets are never kept:
 * they hold private keys.
 */
export class AnswerCache implements CachedAnswers {
  readonly #config: XdsCacheConfig;
  readonly #deps: AnswerCacheDeps;
  readonly #store: CacheStore;
  readonly #recordings = new WeakMap<ProxiedStream, Map<string, PendingRecord>>();
  readonly #serving = new Map<ProxiedStream, CachedState>();
  #nonce = 0;
  #status: CacheStatus | undefined;

  constructor(config: XdsCacheConfig, deps: AnswerCacheDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#store = new CacheStore(config.directory);
    this.#store.clean().catch((error: unknown) => {
      this.#warn("the xDS cache cannot be cleaned", error);
    });
  }

  /** Undefined while the cache does not serve. */
  get status(): CacheStatus | undefined {
    return this.#status;
  }

  record(client: ProxiedStream, typeUrl: string): AnswerRecording | undefined {
    const { subscriptions, protocol } = client;
    if (!client.isEnvoy || typeUrl === typeUrls.secret || subscriptions.node === undefined) return undefined;
    const isWhole =
      protocol === "sotw"
        ? wholeTypes.has(typeUrl)
        : subscriptions.subscribed(typeUrl).wildcard && !subscriptions.hasAny(typeUrl);
    const { id: nodeId } = nodeFacts(subscriptions.node);
    const savedAtMs = this.#deps.clock.now();
    const head: RecordHead = { format: 1, api: "v3", nodeId, typeUrl, protocol, savedAtMs, isWhole };
    const record = this.#store.begin(head);
    const recordings = this.#recordingsOf(client);
    return {
      tee: (chunks) => this.#tee(record, chunks),
      complete: ({ nonce }) => {
        // A client that is gone judges nothing any more.
        if (this.#recordings.get(client) !== recordings) return;
        record.isComplete = true;
        this.#end(recordings.get(nonce)?.discard());
        recordings.delete(nonce);
        recordings.set(nonce, record);
      },
    };
  }

  judge(client: ProxiedStream, { kind, answer }: Verdict): void {
    const recordings = this.#recordings.get(client);
    const judged = recordings?.get(answer.nonce);
    if (recordings === undefined || judged === undefined) return;
    for (const [nonce, record] of recordings) {
      if (record.head.typeUrl !== answer.typeUrl) continue;
      recordings.delete(nonce);
      // Those before it were passed over.
      this.#end(record === judged && kind === "accepted" ? this.#store.keep(record) : record.discard());
      if (record === judged) return;
    }
  }

  keep({ isEnvoy, subscriptions: { node } }: ProxiedStream, { typeUrl, version, resources }: AcceptedOwnType): void {
    if (!isEnvoy || node === undefined) return;
    const savedAtMs = this.#deps.clock.now();
    const { id: nodeId } = nodeFacts(node);
    const head: RecordHead = { format: 1, api: "v3", nodeId, typeUrl, protocol: "delta", savedAtMs, isWhole: true };
    const anys = Array.from(resources, ([name, content]) => ({ name, version, any: anyOf(typeUrl, content) }));
    const answer = { typeUrl, version, nonce: "", resources: anys, removed: [] };
    this.#end(this.#write(head, renderResponse(answer, "delta")));
  }

  forget(client: ProxiedStream): void {
    for (const record of this.#recordings.get(client)?.values() ?? []) this.#end(record.discard());
    this.#recordings.delete(client);
  }

  wanted(client: ProxiedStream, typeUrl: string): void {
    const state = this.#serving.get(client);
    if (state !== undefined && !client.isAnswered) this.#answer(client, state, typeUrl);
  }

  async serve(client: ProxiedStream, signal: AbortSignal): Promise<void> {
    const state = await this.#load(client);
    const isSilent = (): boolean => !client.isAnswered;
    if (state === undefined || !isSilent()) return;
    const { log, clock, metrics } = this.#deps;
    const { savedAtMs } = state;
    log.warn("the control plane is silent; Envoy gets what it accepted last", {
      savedAt: new Date(savedAtMs).toISOString(),
    });
    this.#become({ servingSinceMs: clock.now(), savedAtMs });
    this.#serving.set(client, state);
    client.restart();
    for (const typeUrl of client.subscriptions.typeUrls) this.#answer(client, state, typeUrl);
    for (const type of this.#deps.ownTypes) void this.#apply(type, state, signal);
    try {
      while (isSilent()) {
        metrics.cacheStalenessSeconds.set(Math.max(0, clock.now() - savedAtMs) / 1_000);
        await orAborted(clock.delay(250, signal), signal);
      }
      log.info("the control plane answers again; the cache no longer serves");
    } finally {
      this.#serving.delete(client);
      if (this.#serving.size === 0) this.#become(undefined);
      metrics.cacheStalenessSeconds.set(0);
    }
  }

  #end(work: Promise<void> | undefined): void {
    work?.catch((error: unknown) => {
      this.#warn("the xDS cache cannot be written", error);
    });
  }

  #become(status: CacheStatus | undefined): void {
    this.#status = status;
    this.#deps.onCache?.(status);
  }

  async #write(head: RecordHead, answer: Uint8Array): Promise<void> {
    const record = this.#store.begin(head);
    try {
      await record.add(answer);
      await this.#store.keep(record);
    } catch (error) {
      await record.discard();
      throw error;
    }
  }

  async #apply(type: OwnType, { types }: CachedState, signal: AbortSignal): Promise<void> {
    const kept = type.isKept === true ? types.get(type.typeUrl) : undefined;
    if (kept === undefined) return;
    try {
      await type.apply(new Map(Array.from(kept.resources, ([name, { any }]) => [name, contentOf(any)])), signal);
    } catch (error) {
      if (!signal.aborted) this.#warn("what the xDS cache has for the agent cannot be used", error);
    }
  }

  async #load(client: ProxiedStream): Promise<CachedState | undefined> {
    const { node } = client.subscriptions;
    if (!client.isEnvoy || node === undefined) return undefined;
    try {
      return await this.#store.load(nodeFacts(node).id, this.#deps.clock.now() - this.#config.maxAgeMs);
    } catch (error) {
      this.#warn("the xDS cache is refused; Envoy waits for the control plane", error);
      return undefined;
    }
  }

  #answer(client: ProxiedStream, state: CachedState, typeUrl: string): void {
    const cached = state.types.get(typeUrl);
    if (cached === undefined) return;
    const { names, wildcard } = client.subscriptions.subscribed(typeUrl);
    const wanted = wildcard ? [...cached.resources.keys()] : names;
    const resources = wanted.map((name) => cached.resources.get(name)).filter((resource) => resource !== undefined);
    if (resources.length === 0 && !wildcard) return;
    const nonce = `cache-${String(++this.#nonce)}`;
    const answer: SentAnswer = { typeUrl, version: cached.version, nonce, resources, removed: [] };
    client.subscriptions.sent(answer, false);
    client.subscriptions.presume(answer);
    client.call.write(renderResponse({ ...answer, resources }, client.protocol)).catch(() => undefined);
  }

  /** A cache that cannot be written must not stop what passes. */
  async *#tee(record: PendingRecord, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of chunks) {
        if (!record.isBroken) {
          await record.add(chunk).catch((error: unknown) => {
            this.#warn("the xDS cache cannot be written", error);
          });
        }
        yield chunk;
      }
    } finally {
      if (!record.isComplete) await record.discard();
    }
  }

  #recordingsOf(client: ProxiedStream): Map<string, PendingRecord> {
    let recordings = this.#recordings.get(client);
    if (recordings === undefined) {
      recordings = new Map();
      this.#recordings.set(client, recordings);
    }
    return recordings;
  }

  #warn(message: string, error: unknown): void {
    this.#deps.log.warn(message, { directory: this.#config.directory, reason: describeError(error) });
  }
}
