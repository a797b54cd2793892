// SPDX-License-Identifier: Apache-2.0
import { renderRequest, type XdsProtocol, type XdsRequest } from "./protocol/request.ts";
import type { ResourceVersion } from "./protocol/response-scanner.ts";
import { type TypeSubscription, DeltaSubscription, StateOfTheWorldSubscription } from "./type-subscription.ts";

/** A response that was sent to Envoy, and not yet accepted or rejected. */
export interface SentResponse {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly ResourceVersion[];
  readonly removed: readonly string[];
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

/**
 * What one stream of Envoy is subscribed to, and which versions Envoy has. It outlives the streams to the control
 * plane: a new one is brought to the same state without Envoy's help.
 */
export class Subscriptions {
  readonly protocol: XdsProtocol;
  readonly #types = new Map<string, TypeSubscription>();
  /** By nonce, oldest first. */
  readonly #sent = new Map<string, SentResponse>();
  /** Nonces of the current stream to the control plane; others mean nothing to it. */
  #nonces = new Set<string>();
  #latestNonces = new Map<string, string>();
  #node: Uint8Array | undefined;

  constructor(protocol: XdsProtocol) {
    this.protocol = protocol;
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

  /** What Envoy has subscribed to of a type, for the cache that responds in the control plane's place. */
  subscribed(typeUrl: string): { readonly names: readonly string[]; readonly wildcard: boolean } {
    return this.#types.get(typeUrl)?.subscribed() ?? { names: [], wildcard: false };
  }

  /** How many resource names Envoy has subscribed to of a type. */
  nameCount(typeUrl: string): number {
    return this.#types.get(typeUrl)?.nameCount ?? 0;
  }

  /** Applies a request of Envoy, whose bytes are `bytes`. */
  apply(request: XdsRequest, bytes: Uint8Array): AppliedRequest {
    this.#node ??= request.node;
    const type = this.#typeOf(request.typeUrl);
    const acknowledgement = this.#acknowledge(request, type);
    const isChanged = type.apply(request);
    if (request.nonce === "" || this.#nonces.has(request.nonce)) return { forward: bytes, acknowledgement, isChanged };
    if (!isChanged) return { forward: undefined, acknowledgement, isChanged };
    // The nonce is of an earlier stream. The current one must get its own latest nonce, or none.
    const nonce = this.protocol === "sotw" ? (this.#latestNonces.get(request.typeUrl) ?? "") : "";
    const forward = renderRequest({ ...request, nonce, error: undefined }, this.protocol);
    return { forward, acknowledgement, isChanged };
  }

  /** Notes a response that is sent to Envoy. @param isCurrent whether it is of the current stream to the control plane */
  sent(response: SentResponse, isCurrent: boolean): void {
    this.#sent.delete(response.nonce);
    this.#sent.set(response.nonce, response);
    if (!isCurrent) return;
    this.#nonces.add(response.nonce);
    this.#latestNonces.set(response.typeUrl, response.nonce);
  }

  /** Assumes that Envoy accepts a response, so that a stream opened before its ACK includes the response's versions. */
  assumeAccepted(response: SentResponse): void {
    this.#typeOf(response.typeUrl).accept(response);
  }

  /** The requests that bring a new stream to this state; the first one carries the node. Forgets the old nonces. */
  replay(): { readonly typeUrl: string; readonly bytes: Uint8Array }[] {
    this.#nonces = new Set();
    this.#latestNonces = new Map();
    let node = this.#node;
    const requests: { readonly typeUrl: string; readonly bytes: Uint8Array }[] = [];
    for (const [typeUrl, type] of this.#types) {
      const request = type.replay();
      if (request === undefined) continue;
      requests.push({ typeUrl, bytes: renderRequest({ ...request, node, typeUrl }, this.protocol) });
      node = undefined;
    }
    return requests;
  }

  #typeOf(typeUrl: string): TypeSubscription {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      type = this.protocol === "sotw" ? new StateOfTheWorldSubscription() : new DeltaSubscription();
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #acknowledge(request: XdsRequest, type: TypeSubscription): Acknowledgement | undefined {
    const response = this.#sent.get(request.nonce);
    if (response === undefined || response.typeUrl !== request.typeUrl) return undefined;
    this.#forgetUpTo(response);
    if (request.error !== undefined) {
      return { kind: "nack", response, reason: request.error.message, versionInUse: type.version };
    }
    type.accept(response);
    return { kind: "ack", response };
  }

  /** Envoy acknowledges each response once, and none before the one that it acknowledged last. */
  #forgetUpTo(acknowledged: SentResponse): void {
    for (const [nonce, { typeUrl }] of this.#sent) {
      if (typeUrl !== acknowledged.typeUrl) continue;
      this.#sent.delete(nonce);
      // A later request may repeat the latest nonce to change its subscription.
      if (this.#latestNonces.get(typeUrl) !== nonce) this.#nonces.delete(nonce);
      if (nonce === acknowledged.nonce) return;
    }
  }
}
