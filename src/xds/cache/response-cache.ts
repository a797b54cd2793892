// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { runSteps, TimeSlice } from "../../lib/async/time-slice.ts";
import { describeError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import { OutageLog } from "../../lib/log/outage-log.ts";
import {
  type AgentResourceRecording,
  type AgentResourceType,
  pushResources,
} from "../agent-resources/agent-resource-type.ts";
import type { Budgets } from "../../model/limits.ts";
import { nodeFacts } from "../protocol/request.ts";
import { contentOf, renderResponseSteps } from "../protocol/response.ts";
import { typeUrls } from "../protocol/type-url.ts";
import type { CachedResponses, ProxiedStream, ResponseRecording } from "../proxied-stream.ts";
import type { Acknowledgement, SentResponse } from "../subscriptions.ts";
import type { XdsCacheConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import type { PendingRecord, RecordHead } from "./cache-record.ts";
import { type CachedState, CacheStore } from "./cache-store.ts";

export interface ResponseCacheDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly budgets: Budgets;
  readonly metrics: Pick<XdsMetrics, "cacheStalenessSeconds">;
  /** Called when the cache starts to serve, and, with undefined, when it stops. */
  readonly onCache?: (status: CacheStatus | undefined) => void;
  readonly agentResources: readonly AgentResourceType[];
}

/** While the cache serves, for the status page. */
export interface CacheStatus {
  readonly servingSinceMs: number;
  /** When the last kept response was received. */
  readonly savedAtMs: number;
}

/** State-of-the-world responses contain all resources only for these types. Source: Envoy's xDS protocol */
const completeTypes: ReadonlySet<string> = new Set([typeUrls.listener, typeUrls.cluster]);

const stalenessUpdateMs = 250;

/**
 * Keeps the responses that Envoy accepts, and serves them at a start while the control plane does not respond. Secrets
 * are never kept: they contain private keys.
 */
export class ResponseCache implements CachedResponses {
  readonly #config: XdsCacheConfig;
  readonly #deps: ResponseCacheDeps;
  readonly #store: CacheStore;
  readonly #outage: OutageLog;
  /** Responses that are not yet accepted or rejected, by nonce. */
  readonly #recordings = new WeakMap<ProxiedStream, Map<string, PendingRecord>>();
  readonly #serving = new Map<ProxiedStream, CachedState>();
  #nonce = 0;
  #status: CacheStatus | undefined;

  constructor(config: XdsCacheConfig, deps: ResponseCacheDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#outage = new OutageLog(deps.log, deps.clock);
    this.#store = new CacheStore(config.directory, deps.budgets);
    this.#store.clean().catch((error: unknown) => {
      this.#warn("cannot clean the xDS cache", error);
    });
  }

  /** Undefined while the cache does not serve. */
  get status(): CacheStatus | undefined {
    return this.#status;
  }

  record(client: ProxiedStream, typeUrl: string): ResponseRecording | undefined {
    const { subscriptions, protocol } = client;
    if (!client.isEnvoy || typeUrl === typeUrls.secret || subscriptions.node === undefined) return undefined;
    const isWhole =
      protocol === "sotw"
        ? completeTypes.has(typeUrl)
        : subscriptions.subscribed(typeUrl).wildcard && !subscriptions.hasAny(typeUrl);
    const { id: nodeId } = nodeFacts(subscriptions.node);
    const savedAtMs = this.#deps.clock.now();
    const head: RecordHead = { format: 1, api: "v3", nodeId, typeUrl, protocol, savedAtMs, isWhole };
    const record = this.#store.begin(head);
    const recordings = this.#recordingsOf(client);
    return {
      tee: (chunks) => this.#tee(record, chunks),
      complete: ({ nonce }) => {
        // The client may be gone by now; it accepts nothing any more.
        if (this.#recordings.get(client) !== recordings) return;
        record.isComplete = true;
        this.#finish(recordings.get(nonce)?.discard());
        recordings.delete(nonce);
        recordings.set(nonce, record);
      },
    };
  }

  onAcknowledged(client: ProxiedStream, { kind, response }: Acknowledgement): void {
    const recordings = this.#recordings.get(client);
    const acknowledged = recordings?.get(response.nonce);
    if (recordings === undefined || acknowledged === undefined) return;
    for (const [nonce, record] of recordings) {
      if (record.head.typeUrl !== response.typeUrl) continue;
      recordings.delete(nonce);
      // Earlier responses of the type are not acknowledged any more.
      this.#finish(record === acknowledged && kind === "ack" ? this.#store.keep(record) : record.discard());
      if (record === acknowledged) return;
    }
  }

  recordOwn(
    { isEnvoy, protocol, subscriptions: { node } }: ProxiedStream,
    typeUrl: string,
  ): AgentResourceRecording | undefined {
    if (!isEnvoy || node === undefined) return undefined;
    const savedAtMs = this.#deps.clock.now();
    const { id: nodeId } = nodeFacts(node);
    // Whether the response has all resources is known at its end: a record that has removes the older ones then.
    const head: RecordHead = {
      format: 1,
      api: "v3",
      nodeId,
      typeUrl,
      protocol,
      savedAtMs,
      isWhole: protocol === "sotw",
    };
    const record = this.#store.begin(head);
    return {
      add: (bytes) => this.#add(record, bytes),
      keep: (isWhole) => {
        this.#finish(this.#store.keep(record, isWhole));
      },
      discard: () => {
        this.#finish(record.discard());
      },
    };
  }

  forget(client: ProxiedStream): void {
    for (const record of this.#recordings.get(client)?.values() ?? []) this.#finish(record.discard());
    this.#recordings.delete(client);
  }

  async onSubscribe(client: ProxiedStream, typeUrl: string): Promise<void> {
    const state = this.#serving.get(client);
    if (state !== undefined && !client.hasResponse) await this.#respond(client, state, typeUrl);
  }

  async serve(client: ProxiedStream, signal: AbortSignal): Promise<void> {
    const state = await this.#load(client);
    const isSilent = (): boolean => !client.hasResponse;
    if (state === undefined || !isSilent()) return;
    const { log, clock, metrics } = this.#deps;
    const { savedAtMs } = state;
    log.warn("control plane does not respond; serving Envoy from the cache", {
      savedAt: new Date(savedAtMs).toISOString(),
    });
    this.#setStatus({ servingSinceMs: clock.now(), savedAtMs });
    this.#serving.set(client, state);
    client.reopenUpstream();
    void this.#respondAll(client, state, signal);
    for (const type of this.#deps.agentResources) void this.#apply(type, state, signal);
    try {
      while (isSilent()) {
        metrics.cacheStalenessSeconds.set(Math.max(0, clock.now() - savedAtMs) / 1_000);
        await orAborted(clock.delay(stalenessUpdateMs, signal), signal);
      }
      log.info("control plane responds again; no longer serving from the cache");
    } finally {
      this.#serving.delete(client);
      if (this.#serving.size === 0) this.#setStatus(undefined);
      metrics.cacheStalenessSeconds.set(0);
    }
  }

  /** A cache that cannot be written is logged; Envoy's stream continues. */
  #finish(work: Promise<void> | undefined): void {
    work?.then(
      () => {
        this.#outage.works();
      },
      (error: unknown) => {
        this.#warn("cannot write the xDS cache", error);
      },
    );
  }

  #setStatus(status: CacheStatus | undefined): void {
    this.#status = status;
    this.#deps.onCache?.(status);
  }

  async #apply(type: AgentResourceType, { types }: CachedState, signal: AbortSignal): Promise<void> {
    const cached = type.isCached === true ? types.get(type.typeUrl) : undefined;
    if (cached === undefined) return;
    try {
      const resources = new Map(Array.from(cached.resources, ([name, { any }]) => [name, contentOf(any)]));
      using update = await type.begin(signal);
      await pushResources(update, resources, new TimeSlice(this.#deps.clock, signal));
      await update.commit(new Set());
    } catch (error) {
      if (!signal.aborted) this.#warn("cannot use the agent's own resources in the xDS cache", error);
    }
  }

  async #load(client: ProxiedStream): Promise<CachedState | undefined> {
    const { node } = client.subscriptions;
    if (!client.isEnvoy || node === undefined) return undefined;
    try {
      const nowMs = this.#deps.clock.now();
      return await this.#store.load(nodeFacts(node).id, { nowMs, maxAgeMs: this.#config.maxAgeMs });
    } catch (error) {
      this.#warn("cannot use the xDS cache; Envoy waits for the control plane", error);
      return undefined;
    }
  }

  /** One type after the other: a client that does not read gets no more. */
  async #respondAll(client: ProxiedStream, state: CachedState, signal: AbortSignal): Promise<void> {
    for (const typeUrl of client.subscriptions.typeUrls) {
      if (signal.aborted || client.hasResponse) return;
      await this.#respond(client, state, typeUrl);
    }
  }

  async #respond(client: ProxiedStream, state: CachedState, typeUrl: string): Promise<void> {
    const cached = state.types.get(typeUrl);
    if (cached === undefined) return;
    const { names, wildcard } = client.subscriptions.subscribed(typeUrl);
    const subscribed = wildcard ? [...cached.resources.keys()] : names;
    const resources = subscribed.map((name) => cached.resources.get(name)).filter((found) => found !== undefined);
    if (resources.length === 0 && !wildcard) return;
    const nonce = `cache-${String(++this.#nonce)}`;
    const response: SentResponse = { typeUrl, version: cached.version, nonce, resources, removed: [] };
    const bytes = await new TimeSlice(this.#deps.clock).run(
      renderResponseSteps({ ...response, resources }, client.protocol),
    );
    // The control plane has responded meanwhile: Envoy must not get an older configuration after that.
    if (client.hasResponse) return;
    client.subscriptions.sent(response, false);
    runSteps(client.subscriptions.assumeAccepted(response));
    await client.call.write(bytes).catch(() => undefined);
  }

  async *#tee(record: PendingRecord, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of chunks) {
        await this.#add(record, chunk);
        yield chunk;
      }
    } finally {
      if (!record.isComplete) await record.discard();
    }
  }

  async #add(record: PendingRecord, bytes: Uint8Array): Promise<void> {
    if (record.isBroken) return;
    await record.add(bytes).catch((error: unknown) => {
      this.#warn("cannot write the xDS cache", error);
    });
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
    const fields = { directory: this.#config.directory, reason: describeError(error) };
    this.#outage.failed({ level: "warn", message, fields });
  }
}
