// SPDX-License-Identifier: Apache-2.0
import type { Steps } from "../lib/async/time-slice.ts";
import type { Budget } from "../lib/budget.ts";
import { renderRequestSteps, type XdsProtocol, type XdsRequest } from "./protocol/request.ts";
import type { ResourceVersions } from "./protocol/resource-versions.ts";
import type { SyncProgress } from "./sync-progress.ts";
import {
  bytesOf,
  DeltaSubscription,
  entryBytes,
  StateOfTheWorldSubscription,
  type TypeSubscription,
} from "./type-subscription.ts";

/** A response that was sent to Envoy, and not yet accepted or rejected. */
export interface SentResponse {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: ResourceVersions;
  readonly removed: readonly string[];
  /** How many resources it has, where that is known; state of the world has no names. */
  readonly resourceCount?: number;
}

/** Envoy accepts a response (ACK) or rejects it (NACK). */
export type Acknowledgement =
  | { readonly kind: "ack"; readonly response: SentResponse }
  | {
      readonly kind: "nack";
      readonly response: SentResponse;
      readonly reason: string;
      readonly versionInUse: string;
    };

/** What a request means for the control plane, and for the response that it acknowledges. */
export interface AppliedRequest {
  /** The bytes to send to the control plane; undefined when the request means nothing to it. */
  readonly forward: Uint8Array | undefined;
  readonly acknowledgement: Acknowledgement | undefined;
  /** Whether the subscription has changed. */
  readonly isChanged: boolean;
}

/** What the subscriptions of one stream take from. */
export interface SubscriptionLimits {
  /** Memory for names, versions and the node. */
  readonly namesBytes: Budget;
  /** Responses that are neither accepted nor rejected. */
  readonly sentResponses: Budget;
  /** What was sent and acknowledged is noted there. */
  readonly progress?: SyncProgress;
}

interface PendingResponse {
  readonly response: SentResponse;
  /** Taken from the budget for names. */
  readonly bytes: number;
}

/**
 * What one stream of Envoy is subscribed to, and which versions Envoy has. Disposing it releases what it has taken.
 * It outlives the streams to the control
 * plane: a new one is brought to the same state without Envoy's help.
 */
export class Subscriptions implements Disposable {
  readonly protocol: XdsProtocol;
  readonly #namesBytes: Budget;
  readonly #sentResponses: Budget;
  readonly #progress: SyncProgress | undefined;
  readonly #types = new Map<string, TypeSubscription>();
  /** By nonce, oldest first. */
  readonly #sent = new Map<string, PendingResponse>();
  /** Nonces of the current stream to the control plane; others mean nothing to it. */
  #nonces = new Set<string>();
  #latestNonces = new Map<string, string>();
  #node: Uint8Array | undefined;

  constructor(protocol: XdsProtocol, { namesBytes, sentResponses, progress }: SubscriptionLimits) {
    this.protocol = protocol;
    this.#namesBytes = namesBytes.child();
    this.#sentResponses = sentResponses;
    this.#progress = progress;
  }

  [Symbol.dispose](): void {
    this.#namesBytes[Symbol.dispose]();
  }

  get node(): Uint8Array | undefined {
    return this.#node;
  }

  get typeUrls(): readonly string[] {
    return [...this.#types.keys()];
  }

  has(typeUrl: string): boolean {
    return this.#types.has(typeUrl);
  }

  /** The version of a type that Envoy accepted last; empty when there is none, and always for delta. */
  versionInUse(typeUrl: string): string {
    return this.#types.get(typeUrl)?.version ?? "";
  }

  /** Whether Envoy has accepted resources of a type, or reported that it has some. */
  hasAny(typeUrl: string): boolean {
    return this.#types.get(typeUrl)?.hasAny() ?? false;
  }

  /** How many resources of a type Envoy has; undefined for state of the world, which has no names. */
  resourceCount(typeUrl: string): number | undefined {
    return this.#types.get(typeUrl)?.resourceCount;
  }

  /** What Envoy has subscribed to of a type, for the cache that responds in the control plane's place. */
  subscribed(typeUrl: string): { readonly names: readonly string[]; readonly wildcard: boolean } {
    return this.#types.get(typeUrl)?.subscribed() ?? { names: [], wildcard: false };
  }

  /** How many resource names Envoy has subscribed to of a type. */
  nameCount(typeUrl: string): number {
    return this.#types.get(typeUrl)?.nameCount ?? 0;
  }

  /** Applies a request of Envoy, whose bytes are `bytes`. @throws BudgetSpentError when it subscribes to too much */
  *apply(request: XdsRequest, bytes: Uint8Array): Steps<AppliedRequest> {
    if (request.node !== undefined) this.#keepNode(request.node);
    const type = this.#typeOf(request.typeUrl);
    const acknowledgement = yield* this.#acknowledge(request, type);
    const isChanged = yield* type.apply(request);
    if (request.nonce === "" || this.#nonces.has(request.nonce)) return { forward: bytes, acknowledgement, isChanged };
    if (!isChanged) return { forward: undefined, acknowledgement, isChanged };
    // The nonce is of an earlier stream. The current one must get its own latest nonce, or none.
    const nonce = this.protocol === "sotw" ? (this.#latestNonces.get(request.typeUrl) ?? "") : "";
    const forward = yield* renderRequestSteps({ ...request, nonce, error: undefined }, this.protocol);
    return { forward, acknowledgement, isChanged };
  }

  /** Notes a response that is sent to Envoy. @param isCurrent whether it is of the current stream to the control plane */
  sent(response: SentResponse, isCurrent: boolean): void {
    this.#forget(response.nonce);
    this.#keep(response);
    this.#progress?.sent(response);
    if (!isCurrent) return;
    this.#nonces.add(response.nonce);
    const nonceBefore = this.#latestNonces.get(response.typeUrl) ?? "";
    this.#namesBytes.release(nonceBefore.length);
    this.#namesBytes.charge(response.nonce.length);
    this.#latestNonces.set(response.typeUrl, response.nonce);
  }

  /** Assumes that Envoy accepts a response, so that a stream opened before its ACK includes the response's versions. */
  *assumeAccepted(response: SentResponse): Steps<void> {
    yield* this.#typeOf(response.typeUrl).accept(response);
  }

  /** The requests that bring a new stream to this state; the first one carries the node. Forgets the old nonces. */
  *replay(): Steps<ReplayedRequest[]> {
    this.#nonces = new Set();
    for (const nonce of this.#latestNonces.values()) this.#namesBytes.release(nonce.length);
    this.#latestNonces = new Map();
    let node = this.#node;
    const requests: ReplayedRequest[] = [];
    for (const [typeUrl, type] of this.#types) {
      const request = type.replay();
      if (request === undefined) continue;
      requests.push({ typeUrl, bytes: yield* renderRequestSteps({ ...request, node, typeUrl }, this.protocol) });
      node = undefined;
    }
    return requests;
  }

  #typeOf(typeUrl: string): TypeSubscription {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      const namesBytes = this.#namesBytes;
      if (!namesBytes.tryTake(entryBytes + typeUrl.length)) throw namesBytes.spentError();
      type = this.protocol === "sotw" ? new StateOfTheWorldSubscription(namesBytes) : new DeltaSubscription(namesBytes);
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #keepNode(node: Uint8Array): void {
    if (this.#node !== undefined) return;
    if (!this.#namesBytes.tryTake(node.length)) throw this.#namesBytes.spentError();
    // A view would keep all of the request.
    this.#node = Uint8Array.from(node);
  }

  /** Older responses give way. One that does not fit at all is kept without the names of its resources. */
  #keep(response: SentResponse): void {
    const { typeUrl, version, nonce } = response;
    const bytes = entryBytes + typeUrl.length + version.length + nonce.length + bytesOf(response);
    while (this.#sent.size > 0) {
      const hasPlace = this.#sentResponses.admits(this.#sent.size + 1);
      if (hasPlace && this.#namesBytes.tryTake(bytes)) {
        this.#sent.set(response.nonce, { response, bytes });
        return;
      }
      const [oldest = ""] = this.#sent.keys();
      this.#forget(oldest);
    }
    const fits = this.#namesBytes.tryTake(bytes);
    const kept = fits ? response : { ...response, resources: [], removed: [] };
    this.#sent.set(nonce, { response: kept, bytes: fits ? bytes : 0 });
  }

  #forget(nonce: string): void {
    const pending = this.#sent.get(nonce);
    if (pending === undefined) return;
    this.#sent.delete(nonce);
    this.#namesBytes.release(pending.bytes);
    // A later request may repeat the latest nonce to change its subscription.
    if (this.#latestNonces.get(pending.response.typeUrl) !== nonce) this.#nonces.delete(nonce);
  }

  *#acknowledge(request: XdsRequest, type: TypeSubscription): Steps<Acknowledgement | undefined> {
    const response = this.#sent.get(request.nonce)?.response;
    if (response === undefined || response.typeUrl !== request.typeUrl) return undefined;
    this.#forgetUpTo(response);
    this.#progress?.acknowledged(response, request.error === undefined);
    if (request.error !== undefined) {
      return { kind: "nack", response, reason: request.error.message, versionInUse: type.version };
    }
    yield* type.accept(response);
    return { kind: "ack", response };
  }

  /** Envoy acknowledges each response once, and none before the one that it acknowledged last. */
  #forgetUpTo(acknowledged: SentResponse): void {
    for (const [nonce, { response }] of this.#sent) {
      if (response.typeUrl !== acknowledged.typeUrl) continue;
      this.#forget(nonce);
      if (nonce === acknowledged.nonce) return;
    }
  }
}

/** A request for a new stream. */
export interface ReplayedRequest {
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}
