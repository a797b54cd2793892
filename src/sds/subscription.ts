// SPDX-License-Identifier: Apache-2.0
import { type SecretName, SecretNameError } from "./secret-name.ts";

/** What a message of a client says, whichever protocol it came by. */
export type SubscriptionRequest = RequestFacts & (StateOfTheWorld | Delta);

interface RequestFacts {
  /** Empty when the message has no node, or a node without ID. */
  readonly nodeId: string;
  /** Of the answer that the message is about; empty for none. */
  readonly nonce: string;
  /** Why the client cannot use that answer; undefined when it can. */
  readonly rejection: string | undefined;
}

interface StateOfTheWorld {
  readonly protocol: "state-of-the-world";
  /** All names that the client wants from now on. */
  readonly names: readonly string[];
}

interface Delta {
  readonly protocol: "delta";
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** Versions that the client still has from an earlier stream, by name. */
  readonly initialVersions: ReadonlyMap<string, string>;
}

/** A secret as a stream sees it: what it is stays closed, the version tells one content from another. */
export interface VersionedSecret {
  readonly version: string;
}

export interface Delivery<T extends VersionedSecret> {
  readonly name: SecretName;
  readonly secret: T;
}

/** One message to be sent. */
export interface SubscriptionAnswer<T extends VersionedSecret> {
  readonly nonce: string;
  readonly deliveries: readonly Delivery<T>[];
}

export type SubscriptionReport<T extends VersionedSecret> =
  | { readonly kind: "accepted"; readonly deliveries: readonly Delivery<T>[] }
  /** `deliveries` is empty when the client rejects something that this stream did not send. */
  | { readonly kind: "rejected"; readonly deliveries: readonly Delivery<T>[]; readonly reason: string }
  | { readonly kind: "stale-nonce" };

/** Why a stream cannot go on. */
export type SubscriptionEnd =
  | { readonly kind: "no-node" }
  | { readonly kind: "too-many-names"; readonly limit: number }
  | { readonly kind: "refused-name"; readonly error: SecretNameError };

export interface SubscriptionStep<T extends VersionedSecret> {
  readonly added: readonly SecretName[];
  readonly removed: readonly SecretName[];
  readonly reports: readonly SubscriptionReport<T>[];
  readonly end: SubscriptionEnd | undefined;
}

export interface SubscriptionOptions {
  /** @throws SecretNameError for a name that is never answered */
  readonly parseName: (text: string) => SecretName;
  /** A nonce that no other answer of this stream has. */
  readonly nextNonce: () => string;
}

interface Slot<T extends VersionedSecret> {
  readonly name: SecretName;
  secret: T | undefined;
  sentVersion: string | undefined;
  /** The client asked and is to be answered, also with a version that it was sent before. */
  asked: boolean;
}

const maxNames = 256;
const maxUnanswered = 32;

/**
 * One stream's subscriptions: what the client wants, what it was sent, what it said about it. Nothing here waits or
 * does I/O; messages and secrets go in, in any order, and what to send comes out of `take`.
 *
 * State of the world: names are replaced by each message; without a nonce all are answered, with the last nonce only
 * those that are new, with another nonce the message is stale and nothing changes. Delta: names come and go one by
 * one, whatever the nonce says. In both, a name whose secret is not there yet is answered when it comes, and a
 * rejected secret is not sent again until there is another.
 * Source: Envoy api-docs/xds_protocol; observed with pilot-agent and Envoy 1.40
 */
export class Subscription<T extends VersionedSecret> {
  readonly #options: SubscriptionOptions;
  readonly #slots = new Map<string, Slot<T>>();
  /** Sent and neither accepted nor rejected, by nonce, oldest first. */
  readonly #unanswered = new Map<string, readonly Delivery<T>[]>();
  #lastNonce: string | undefined;
  #seenNode = false;
  #ended = false;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  /** Takes a message in. `take` is to be called after it, and before the next message. */
  request(request: SubscriptionRequest): SubscriptionStep<T> {
    if (this.#ended) return step({});
    if (!this.#seenNode && request.nodeId === "") return this.#end({ kind: "no-node" });
    this.#seenNode = true;
    try {
      return request.protocol === "delta" ? this.#delta(request) : this.#stateOfTheWorld(request);
    } catch (error) {
      if (error instanceof SecretNameError) return this.#end({ kind: "refused-name", error });
      throw error;
    }
  }

  /** The secret of a name as it is now. Ignored for names that are not subscribed. */
  offer(text: string, secret: T): void {
    const slot = this.#slots.get(text);
    if (slot !== undefined) slot.secret = secret;
  }

  /** The next message to send, or undefined when there is nothing that the client lacks. What is taken is sent. */
  take(): SubscriptionAnswer<T> | undefined {
    const deliveries: Delivery<T>[] = [];
    for (const slot of this.#slots.values()) {
      const { name, secret } = slot;
      if (secret === undefined || !(slot.asked || secret.version !== slot.sentVersion)) continue;
      slot.asked = false;
      slot.sentVersion = secret.version;
      deliveries.push({ name, secret });
    }
    if (deliveries.length === 0) return undefined;
    const nonce = this.#options.nextNonce();
    this.#lastNonce = nonce;
    this.#unanswered.set(nonce, deliveries);
    for (const oldest of this.#unanswered.keys()) {
      if (this.#unanswered.size <= maxUnanswered) break;
      this.#unanswered.delete(oldest);
    }
    return { nonce, deliveries };
  }

  get names(): readonly SecretName[] {
    return [...this.#slots.values()].map((slot) => slot.name);
  }

  /** Whether the client has the newest secret of this name and said what it thinks of it, or does not want it. */
  isSettled(text: string): boolean {
    const slot = this.#slots.get(text);
    if (slot?.secret === undefined) return true;
    if (slot.asked || slot.secret.version !== slot.sentVersion) return false;
    return ![...this.#unanswered.values()].some((deliveries) => deliveries.some(({ name }) => name.text === text));
  }

  #stateOfTheWorld(request: RequestFacts & StateOfTheWorld): SubscriptionStep<T> {
    const fresh = request.nonce === "" || this.#slots.size === 0 || this.#lastNonce === undefined;
    const stale = !fresh && request.nonce !== this.#lastNonce;
    const reports = this.#hear(request, stale);
    if (request.rejection !== undefined && (fresh || stale)) return step({ reports });
    if (request.names.length === 0) return step({ reports, removed: this.#remove([...this.#slots.keys()]) });
    if (stale) return step({ reports });
    const names = this.#parse(request.names);
    if (names.size > maxNames) return this.#end({ kind: "too-many-names", limit: maxNames });
    const removed = this.#remove([...this.#slots.keys()].filter((text) => !names.has(text)));
    const added = this.#add(names);
    if (fresh) for (const slot of this.#slots.values()) slot.asked = true;
    if (!fresh) this.#unanswered.clear();
    return step({ added, removed, reports });
  }

  #delta(request: RequestFacts & Delta): SubscriptionStep<T> {
    const stale = request.nonce !== "" && this.#lastNonce !== undefined && !this.#unanswered.has(request.nonce);
    const reports = this.#hear(request, stale);
    const names = this.#parse(request.subscribe);
    if (new Set([...this.#slots.keys(), ...names.keys()]).size > maxNames) {
      return this.#end({ kind: "too-many-names", limit: maxNames });
    }
    const removed = this.#remove(request.unsubscribe);
    const added = this.#add(names);
    for (const text of names.keys()) {
      const slot = this.#slots.get(text);
      const has = request.initialVersions.get(text);
      if (slot === undefined) continue;
      slot.asked = has === undefined;
      slot.sentVersion = has ?? slot.sentVersion;
    }
    return step({ added, removed, reports });
  }

  /** What the client says about an answer. */
  #hear({ nonce, rejection }: RequestFacts, stale: boolean): SubscriptionReport<T>[] {
    const deliveries = this.#unanswered.get(nonce) ?? [];
    this.#unanswered.delete(nonce);
    const reports: SubscriptionReport<T>[] = [];
    if (rejection !== undefined) reports.push({ kind: "rejected", deliveries, reason: rejection });
    else if (deliveries.length > 0) reports.push({ kind: "accepted", deliveries });
    if (stale) reports.push({ kind: "stale-nonce" });
    return reports;
  }

  #parse(texts: readonly string[]): ReadonlyMap<string, SecretName> {
    return new Map(texts.map((text) => [text, this.#options.parseName(text)]));
  }

  #add(names: ReadonlyMap<string, SecretName>): SecretName[] {
    const added = [...names.values()].filter((name) => !this.#slots.has(name.text));
    for (const name of added) {
      this.#slots.set(name.text, { name, secret: undefined, sentVersion: undefined, asked: true });
    }
    return added;
  }

  #remove(texts: readonly string[]): SecretName[] {
    const removed: SecretName[] = [];
    for (const text of texts) {
      const slot = this.#slots.get(text);
      if (slot !== undefined) removed.push(slot.name);
      this.#slots.delete(text);
    }
    return removed;
  }

  #end(end: SubscriptionEnd): SubscriptionStep<T> {
    this.#ended = true;
    return step({ removed: this.#remove([...this.#slots.keys()]), end });
  }
}

function step<T extends VersionedSecret>(facts: Partial<SubscriptionStep<T>>): SubscriptionStep<T> {
  return { added: [], removed: [], reports: [], end: undefined, ...facts };
}
