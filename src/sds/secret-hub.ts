// SPDX-License-Identifier: Apache-2.0
import { type Clock, abortReason, deadline } from "../lib/async/clock.ts";
import type { Budget } from "../lib/budget.ts";
import { isOwnCertificate, isOwnTrust, type SecretName } from "./secret-name.ts";
import type { VersionedSecret } from "./subscription.ts";

/** A secret as it is sent: the serialised resource, shared by all streams that get it. */
export interface EncodedSecret extends VersionedSecret {
  readonly resource: Buffer;
}

/** A stream, as the hub sees it. */
export interface SecretSubscriber {
  offer(text: string, secret: EncodedSecret): void;
  /** The name will never be served. */
  fail(name: SecretName, error: unknown): void;
  /** Whether its client has accepted or rejected the last secret offered under this name, or does not want it. */
  isSettled(text: string): boolean;
}

export interface SecretHubOptions {
  /** The serialised resource of a name as it is now, and each time that it may have changed. */
  readonly watch: (name: SecretName, signal: AbortSignal) => AsyncIterable<Buffer>;
  readonly clock: Clock;
  /** Limits the names of files, and those of SPIFFE, that are watched. */
  readonly fileSecrets: Budget;
}

interface Channel {
  readonly name: SecretName;
  /** The place among the watched files; undefined for a secret that is not a file's. */
  readonly place: Disposable | undefined;
  readonly subscribers: Set<SecretSubscriber>;
  readonly stop: AbortController;
  current: EncodedSecret | undefined;
}

/** Names of which clients can make up any number. */
const limited: ReadonlySet<SecretName["kind"]> = new Set([
  "file-certificate",
  "file-roots",
  "spiffe-certificate",
  "spiffe-roots",
]);
/** How long a new certificate waits for the clients to accept the roots that came before it. */
const rootsSettleMs = 1_000;
/** Streams served in one turn of the event loop when a secret changes. */
const subscribersPerTurn = 32;

/**
 * Keeps one watch for each subscribed name, and one serialised resource, whatever the number of streams. Unchanged
 * content is not sent again. A new workload certificate is sent after the streams that subscribe to its roots have
 * settled the roots that were published before it, so that no client uses a certificate before its roots. A silent
 * stream delays it by a second at most.
 */
export class SecretHub implements AsyncDisposable {
  readonly #options: SecretHubOptions;
  readonly #channels = new Map<string, Channel>();
  readonly #loops = new Set<Promise<void>>();
  readonly #startedAt: string;
  /** Streams that have not settled the newest roots, and the names of these. */
  readonly #unsettled = new Map<SecretSubscriber, Set<string>>();
  #changes = 0;
  #wakeSettled: () => void = () => undefined;

  constructor(options: SecretHubOptions) {
    this.#options = options;
    this.#startedAt = new Date(options.clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
  }

  /**
   * Offers the secret to the subscriber, at once when there is one, and after each change. Disposing unsubscribes.
   * @throws BudgetSpentError when too many files are watched
   */
  subscribe(name: SecretName, subscriber: SecretSubscriber): Disposable {
    const channel = this.#channels.get(name.text) ?? this.#open(name);
    channel.subscribers.add(subscriber);
    if (channel.current !== undefined) subscriber.offer(name.text, channel.current);
    return {
      [Symbol.dispose]: () => {
        channel.subscribers.delete(subscriber);
        this.settled(subscriber);
        if (channel.subscribers.size === 0) this.#close(channel);
      },
    };
  }

  /** Must be called when a subscriber has received a request, or has sent a response. */
  settled(subscriber: SecretSubscriber): void {
    const names = this.#unsettled.get(subscriber);
    if (names === undefined || [...names].some((name) => !subscriber.isSettled(name))) return;
    this.#unsettled.delete(subscriber);
    if (this.#unsettled.size === 0) this.#wakeSettled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of [...this.#channels.values()]) this.#close(channel);
    await Promise.all(this.#loops);
  }

  #open(name: SecretName): Channel {
    const place = this.#place(name);
    const channel: Channel = { name, place, subscribers: new Set(), stop: new AbortController(), current: undefined };
    this.#channels.set(name.text, channel);
    // A source may fail at once; the subscriber must be registered by then.
    const loop = Promise.resolve()
      .then(() => this.#follow(channel))
      .finally(() => this.#loops.delete(loop));
    this.#loops.add(loop);
    return channel;
  }

  #place({ kind }: SecretName): Disposable | undefined {
    if (!limited.has(kind)) return undefined;
    const { fileSecrets } = this.#options;
    const place = fileSecrets.take();
    if (place === undefined) throw fileSecrets.spentError();
    return place;
  }

  #close(channel: Channel): void {
    channel.place?.[Symbol.dispose]();
    channel.stop.abort(new Error("no subscriber is left"));
    if (this.#channels.get(channel.name.text) === channel) this.#channels.delete(channel.name.text);
  }

  async #follow(channel: Channel): Promise<void> {
    const { signal } = channel.stop;
    try {
      for await (const resource of this.#options.watch(channel.name, signal)) {
        if (channel.current !== undefined && Buffer.compare(channel.current.resource, resource) === 0) continue;
        if (channel.current !== undefined && isOwnCertificate(channel.name)) {
          await this.#untilRootsSettled(signal);
        }
        channel.current = { version: `${this.#startedAt}/${String(++this.#changes)}`, resource };
        await this.#offerAll(channel, channel.current);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#close(channel);
      for (const subscriber of channel.subscribers) subscriber.fail(channel.name, error);
    }
  }

  async #offerAll({ name, subscribers, stop }: Channel, secret: EncodedSecret): Promise<void> {
    let inTurn = 0;
    if (isOwnTrust(name)) {
      for (const subscriber of subscribers) {
        this.#unsettled.set(subscriber, (this.#unsettled.get(subscriber) ?? new Set()).add(name.text));
      }
    }
    for (const subscriber of subscribers) {
      if (inTurn++ === subscribersPerTurn) {
        await this.#options.clock.delay(0, stop.signal);
        inTurn = 1;
      }
      subscriber.offer(name.text, secret);
    }
  }

  async #untilRootsSettled(signal: AbortSignal): Promise<void> {
    // Roots that were published at the same moment reach their streams first.
    await this.#options.clock.delay(0, signal);
    using limit = deadline(this.#options.clock, rootsSettleMs, signal);
    if (this.#unsettled.size > 0) await this.#nextSettled(limit.signal);
    // A stream that is late now does not delay the next certificate too.
    this.#unsettled.clear();
    if (signal.aborted) throw abortReason(signal);
  }

  #nextSettled(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wakeSettled = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
