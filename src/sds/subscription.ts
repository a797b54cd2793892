// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import { type SecretName, SecretNameError } from "./secret-name.ts";

/** A client's request, in either protocol. */
export type SubscriptionRequest = RequestFacts & (StateOfTheWorld | Delta);

interface RequestFacts {
  /** Empty when the request has no node, or a node without ID. */
  readonly nodeId: string;
  /** Of the response that the request acknowledges or rejects; empty for none. */
  readonly nonce: string;
  /** Why the client rejects that response; undefined when it accepts it. */
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

/** A secret as a stream sees it: its version identifies its content. */
export interface VersionedSecret {
  readonly version: string;
}

export interface Delivery<T extends VersionedSecret> {
  readonly name: SecretName;
  readonly secret: T;
}

/** One response to send. */
export interface SubscriptionResponse<T extends VersionedSecret> {
  readonly nonce: string;
  readonly deliveries: readonly Delivery<T>[];
}

export type SubscriptionReport<T extends VersionedSecret> =
  | { readonly kind: "accepted"; readonly deliveries: readonly Delivery<T>[] }
  /** `deliveries` is empty when the client rejects a response that this stream did not send. */
  | { readonly kind: "rejected"; readonly deliveries: readonly Delivery<T>[]; readonly reason: string }
  | { readonly kind: "stale-nonce" };

/** Why a stream ends. */
export type SubscriptionEnd =
  | { readonly kind: "no-node" }
  /** `problem` names the limit. */
  | { readonly kind: "too-many-names"; readonly problem: string }
  | { readonly kind: "rejected-name"; readonly error: SecretNameError };

export interface SubscriptionStep<T extends VersionedSecret> {
  readonly added: readonly SecretName[];
  readonly removed: readonly SecretName[];
  readonly reports: readonly SubscriptionReport<T>[];
  readonly end: SubscriptionEnd | undefined;
}

export interface SubscriptionOptions {
  /** @throws SecretNameError for a name that is never served */
  readonly parseName: (text: string) => SecretName;
  /** A nonce that no other response of this stream has. */
  readonly nextNonce: () => string;
  /** Limits the names of the stream. */
  readonly names: Budget;
  /** Limits the responses that are neither accepted nor rejected; the oldest ones are forgotten. */
  readonly pendingResponses: Budget;
}

interface Slot<T extends VersionedSecret> {
  readonly name: SecretName;
  secret: T | undefined;
  sentVersion: string | undefined;
  /** The client has requested it and must get a response, even with a version that was sent before. */
  requested: boolean;
}

/**
 * The subscriptions of one stream: what the client wants, what was sent, and what it accepted. Pure: requests and secrets
 * go in, in any order, and `nextResponse` returns what to send.
 *
 * State of the world: each request replaces the names. A request without a nonce gets all of them, one with the last
 * nonce only the new ones, and one with another nonce is stale and changes nothing. Delta: requests add and remove
 * names, whatever the nonce is. In both, a name without a secret gets its response when the secret exists, and a rejected
 * secret is not sent again until there is a new one.
 * Source: Envoy api-docs/xds_protocol; observed with pilot-agent and Envoy 1.40
 */
export class Subscription<T extends VersionedSecret> {
  readonly #options: SubscriptionOptions;
  readonly #slots = new Map<string, Slot<T>>();
  /** Sent, and neither accepted nor rejected; by nonce, oldest first. */
  readonly #pending = new Map<string, readonly Delivery<T>[]>();
  #lastNonce: string | undefined;
  #seenNode = false;
  #ended = false;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  /** Handles a request. `nextResponse` must be called after it, and before the next request. */
  request(request: SubscriptionRequest): SubscriptionStep<T> {
    if (this.#ended) return step({});
    if (!this.#seenNode && request.nodeId === "") return this.#end({ kind: "no-node" });
    this.#seenNode = true;
    try {
      return request.protocol === "delta" ? this.#delta(request) : this.#stateOfTheWorld(request);
    } catch (error) {
      if (error instanceof SecretNameError) return this.#end({ kind: "rejected-name", error });
      throw error;
    }
  }

  /** Sets the current secret of a name. Ignored for names that are not subscribed. */
  offer(text: string, secret: T): void {
    const slot = this.#slots.get(text);
    if (slot !== undefined) slot.secret = secret;
  }

  /** The next response, which must be sent; undefined when the client has everything. */
  nextResponse(): SubscriptionResponse<T> | undefined {
    const deliveries: Delivery<T>[] = [];
    for (const slot of this.#slots.values()) {
      const { name, secret } = slot;
      if (secret === undefined || !(slot.requested || secret.version !== slot.sentVersion)) continue;
      slot.requested = false;
      slot.sentVersion = secret.version;
      deliveries.push({ name, secret });
    }
    if (deliveries.length === 0) return undefined;
    const nonce = this.#options.nextNonce();
    this.#lastNonce = nonce;
    this.#pending.set(nonce, deliveries);
    for (const oldest of this.#pending.keys()) {
      if (this.#options.pendingResponses.admits(this.#pending.size)) break;
      this.#pending.delete(oldest);
    }
    return { nonce, deliveries };
  }

  get names(): readonly SecretName[] {
    return [...this.#slots.values()].map((slot) => slot.name);
  }

  /** Whether the client has accepted or rejected the newest secret of this name, or does not want it. */
  isSettled(text: string): boolean {
    const slot = this.#slots.get(text);
    if (slot?.secret === undefined) return true;
    if (slot.requested || slot.secret.version !== slot.sentVersion) return false;
    return ![...this.#pending.values()].some((deliveries) => deliveries.some(({ name }) => name.text === text));
  }

  #stateOfTheWorld(request: RequestFacts & StateOfTheWorld): SubscriptionStep<T> {
    const fresh = request.nonce === "" || this.#slots.size === 0 || this.#lastNonce === undefined;
    const stale = !fresh && request.nonce !== this.#lastNonce;
    const reports = this.#acknowledge(request, stale);
    if (request.rejection !== undefined && (fresh || stale)) return step({ reports });
    if (request.names.length === 0) return step({ reports, removed: this.#remove([...this.#slots.keys()]) });
    if (stale) return step({ reports });
    if (!this.#options.names.admits(new Set(request.names).size)) return this.#endTooMany();
    const names = this.#parse(request.names);
    const removed = this.#remove([...this.#slots.keys()].filter((text) => !names.has(text)));
    const added = this.#add(names);
    if (fresh) for (const slot of this.#slots.values()) slot.requested = true;
    if (!fresh) this.#pending.clear();
    return step({ added, removed, reports });
  }

  #delta(request: RequestFacts & Delta): SubscriptionStep<T> {
    const stale = request.nonce !== "" && this.#lastNonce !== undefined && !this.#pending.has(request.nonce);
    const reports = this.#acknowledge(request, stale);
    const added = new Set(request.subscribe.filter((text) => !this.#slots.has(text)));
    if (!this.#options.names.admits(this.#slots.size + added.size)) return this.#endTooMany();
    const names = this.#parse(request.subscribe);
    const removed = this.#remove(request.unsubscribe);
    const newNames = this.#add(names);
    for (const text of names.keys()) {
      const slot = this.#slots.get(text);
      const has = request.initialVersions.get(text);
      if (slot === undefined) continue;
      slot.requested = has === undefined;
      slot.sentVersion = has ?? slot.sentVersion;
    }
    return step({ added: newNames, removed, reports });
  }

  /** Reports whether the client accepts or rejects a response. */
  #acknowledge({ nonce, rejection }: RequestFacts, stale: boolean): SubscriptionReport<T>[] {
    const deliveries = this.#pending.get(nonce) ?? [];
    this.#pending.delete(nonce);
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
      this.#slots.set(name.text, { name, secret: undefined, sentVersion: undefined, requested: true });
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

  #endTooMany(): SubscriptionStep<T> {
    return this.#end({ kind: "too-many-names", problem: this.#options.names.text });
  }

  #end(end: SubscriptionEnd): SubscriptionStep<T> {
    this.#ended = true;
    return step({ removed: this.#remove([...this.#slots.keys()]), end });
  }
}

function step<T extends VersionedSecret>(facts: Partial<SubscriptionStep<T>>): SubscriptionStep<T> {
  return { added: [], removed: [], reports: [], end: undefined, ...facts };
}
