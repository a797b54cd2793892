// SPDX-License-Identifier: Apache-2.0
import { type Clock, abortReason, deadline } from "../lib/async/clock.ts";
import type { SecretName } from "./secret-name.ts";
import type { VersionedSecret } from "./subscription.ts";

/** A secret in the form in which it goes out: the serialised resource, shared by all streams that get it. */
export interface EncodedSecret extends VersionedSecret {
  readonly resource: Buffer;
}

/** A stream, as the hub sees it. */
export interface SecretReader {
  offer(text: string, secret: EncodedSecret): void;
  /** The name will never be answered. */
  refuse(name: SecretName, error: unknown): void;
  /** Whether this reader is done with what it was last offered of this name. */
  isSettled(text: string): boolean;
}

export interface SecretHubOptions {
  /** The serialised resource of a name as it is now, and each time that it may have changed. */
  readonly watch: (name: SecretName, signal: AbortSignal) => AsyncIterable<Buffer>;
  readonly clock: Clock;
}

interface Channel {
  readonly name: SecretName;
  readonly readers: Set<SecretReader>;
  readonly stop: AbortController;
  current: EncodedSecret | undefined;
}

/** How long a new leaf waits for the clients to take the roots that came before it. */
const rootsSettleMs = 1_000;
/** Streams served in one turn of the event loop when a secret changes. */
const readersPerTurn = 32;

/**
 * One watch for each name that anyone subscribes to, and one serialised form of its secret, whatever the number of
 * streams. Contents are compared: what is the same as before is not passed on. A new workload certificate is passed
 * on after the streams that have `ROOTCA` are done with the roots that were published before it, so no peer is asked
 * to trust a leaf whose roots it was not given; a stream that stays silent delays it by a second at most.
 */
export class SecretHub implements AsyncDisposable {
  readonly #options: SecretHubOptions;
  readonly #channels = new Map<string, Channel>();
  readonly #loops = new Set<Promise<void>>();
  readonly #startedAt: string;
  /** Streams that are not done with the newest roots. */
  readonly #unsettled = new Set<SecretReader>();
  #changes = 0;
  #wakeSettled: () => void = () => undefined;

  constructor(options: SecretHubOptions) {
    this.#options = options;
    this.#startedAt = new Date(options.clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
  }

  /** From now on `reader` is offered the secret, at once when there is one. Disposing ends it. */
  subscribe(name: SecretName, reader: SecretReader): Disposable {
    const channel = this.#channels.get(name.text) ?? this.#open(name);
    channel.readers.add(reader);
    if (channel.current !== undefined) reader.offer(name.text, channel.current);
    return {
      [Symbol.dispose]: () => {
        channel.readers.delete(reader);
        this.settled(reader);
        if (channel.readers.size === 0) this.#close(channel);
      },
    };
  }

  /** To be called when a reader has heard from its client, or has sent something. */
  settled(reader: SecretReader): void {
    if (!this.#unsettled.has(reader) || !reader.isSettled("ROOTCA")) return;
    this.#unsettled.delete(reader);
    if (this.#unsettled.size === 0) this.#wakeSettled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of [...this.#channels.values()]) this.#close(channel);
    await Promise.all(this.#loops);
  }

  #open(name: SecretName): Channel {
    const channel: Channel = { name, readers: new Set(), stop: new AbortController(), current: undefined };
    this.#channels.set(name.text, channel);
    // A source may fail at once; the reader is to be there by then.
    const loop = Promise.resolve()
      .then(() => this.#follow(channel))
      .finally(() => this.#loops.delete(loop));
    this.#loops.add(loop);
    return channel;
  }

  #close(channel: Channel): void {
    channel.stop.abort(new Error("nobody subscribes any more"));
    if (this.#channels.get(channel.name.text) === channel) this.#channels.delete(channel.name.text);
  }

  async #follow(channel: Channel): Promise<void> {
    const { signal } = channel.stop;
    try {
      for await (const resource of this.#options.watch(channel.name, signal)) {
        if (channel.current !== undefined && Buffer.compare(channel.current.resource, resource) === 0) continue;
        if (channel.current !== undefined && channel.name.kind === "workload-certificate") {
          await this.#untilRootsSettled(signal);
        }
        channel.current = { version: `${this.#startedAt}/${String(++this.#changes)}`, resource };
        await this.#offerAll(channel, channel.current);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#close(channel);
      for (const reader of channel.readers) reader.refuse(channel.name, error);
    }
  }

  async #offerAll({ name, readers, stop }: Channel, secret: EncodedSecret): Promise<void> {
    let turn = 0;
    if (name.kind === "trust-bundle") for (const reader of readers) this.#unsettled.add(reader);
    for (const reader of readers) {
      if (turn++ === readersPerTurn) {
        await this.#options.clock.delay(0, stop.signal);
        turn = 1;
      }
      reader.offer(name.text, secret);
    }
  }

  async #untilRootsSettled(signal: AbortSignal): Promise<void> {
    // Roots that were published in the same turn reach their streams first.
    await this.#options.clock.delay(0, signal);
    using limit = deadline(this.#options.clock, rootsSettleMs, signal);
    if (this.#unsettled.size > 0) await this.#nextSettled(limit.signal);
    // Whoever is late now does not delay the certificate after this one as well.
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
