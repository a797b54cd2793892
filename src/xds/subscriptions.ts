// SPDX-License-Identifier: Apache-2.0
import { renderRequest, type XdsProtocol, type XdsRequest } from "./protocol/request.ts";
import type { ResourceVersion } from "./protocol/response-scanner.ts";
import { type TypeSubscription, DeltaSubscription, StateOfTheWorldSubscription } from "./type-subscription.ts";

/** An answer that is on its way to Envoy, or there, and not yet accepted or refused. */
export interface SentAnswer {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly ResourceVersion[];
  readonly removed: readonly string[];
}

/** What became of an answer, as Envoy's request tells. */
export type Verdict =
  | { readonly kind: "accepted"; readonly answer: SentAnswer }
  | { readonly kind: "refused"; readonly answer: SentAnswer; readonly reason: string; readonly versionInUse: string };

/** What a request means for the control plane, and for the answer that it is about. */
export interface NotedRequest {
  /** What to send; undefined when the control plane has no use for it. */
  readonly forward: Uint8Array | undefined;
  readonly verdict: Verdict | undefined;
  /** Whether it changes what is wanted. */
  readonly changed: boolean;
}

/**
 * What one stream of Envoy's is subscribed to, and what Envoy has. It outlives the streams to the control plane, so
 * that a new one can be brought to the same state without Envoy's noticing.
 */
export class Subscriptions {
  readonly protocol: XdsProtocol;
  readonly #types = new Map<string, TypeSubscription>();
  /** By nonce, oldest first. */
  readonly #sent = new Map<string, SentAnswer>();
  /** Nonces of the control plane's current stream; others mean nothing to it. */
  #nonces = new Set<string>();
  #latestNonces = new Map<string, string>();
  #node: Uint8Array | undefined;

  constructor(protocol: XdsProtocol) {
    this.protocol = protocol;
  }

  get node(): Uint8Array | undefined {
    return this.#node;
  }

  has(typeUrl: string): boolean {
    return this.#types.has(typeUrl);
  }

  /** The version of a type that Envoy accepted last; empty when none, and always for delta. */
  versionInUse(typeUrl: string): string {
    return this.#types.get(typeUrl)?.version ?? "";
  }

  /** Whether Envoy has accepted anything of a type, or said that it has. */
  hasAny(typeUrl: string): boolean {
    return this.#types.get(typeUrl)?.hasAny() ?? false;
  }

  /** Takes in a request of Envoy's, whose bytes are `bytes`. */
  note(request: XdsRequest, bytes: Uint8Array): NotedRequest {
    this.#node ??= request.node;
    const type = this.#typeOf(request.typeUrl);
    const verdict = this.#judge(request, type);
    const changed = type.apply(request);
    if (request.nonce === "" || this.#nonces.has(request.nonce)) return { forward: bytes, verdict, changed };
    if (!changed) return { forward: undefined, verdict, changed };
    // The control plane that gave this nonce is gone; the one of now must see its own, or none.
    const nonce = this.protocol === "sotw" ? (this.#latestNonces.get(request.typeUrl) ?? "") : "";
    const forward = renderRequest({ ...request, nonce, error: undefined }, this.protocol);
    return { forward, verdict, changed };
  }

  /** An answer goes to Envoy. @param isCurrent whether it comes from the control plane's current stream */
  sent(answer: SentAnswer, isCurrent: boolean): void {
    this.#sent.delete(answer.nonce);
    this.#sent.set(answer.nonce, answer);
    if (!isCurrent) return;
    this.#nonces.add(answer.nonce);
    this.#latestNonces.set(answer.typeUrl, answer.nonce);
  }

  /** Takes an answer for accepted that Envoy has not yet judged, so that a stream opened now is told of it. */
  presume(answer: SentAnswer): void {
    this.#typeOf(answer.typeUrl).accept(answer);
  }

  /** The requests that bring a new stream to this state: the first one carries the node. Forgets the old nonces. */
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

  /** What Envoy has subscribed to in a type, for one that answers in the control plane's place. */
  subscribed(typeUrl: string): { readonly names: readonly string[]; readonly wildcard: boolean } {
    return this.#types.get(typeUrl)?.subscribed() ?? { names: [], wildcard: false };
  }

  get typeUrls(): readonly string[] {
    return [...this.#types.keys()];
  }

  #typeOf(typeUrl: string): TypeSubscription {
    let type = this.#types.get(typeUrl);
    if (type === undefined) {
      type = this.protocol === "sotw" ? new StateOfTheWorldSubscription() : new DeltaSubscription();
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  #judge(request: XdsRequest, type: TypeSubscription): Verdict | undefined {
    const answer = this.#sent.get(request.nonce);
    if (answer === undefined || answer.typeUrl !== request.typeUrl) return undefined;
    this.#forgetUpTo(answer);
    if (request.error !== undefined) {
      return { kind: "refused", answer, reason: request.error.message, versionInUse: type.version };
    }
    type.accept(answer);
    return { kind: "accepted", answer };
  }
  /** Nothing more is said of an answer that was judged, nor of those before it, which Envoy has passed over. */
  #forgetUpTo(judged: SentAnswer): void {
    for (const [nonce, { typeUrl }] of this.#sent) {
      if (typeUrl !== judged.typeUrl) continue;
      this.#sent.delete(nonce);
      // A later request may use the nonce again to change its names; only the latest can be used so.
      if (this.#latestNonces.get(typeUrl) !== nonce) this.#nonces.delete(nonce);
      if (nonce === judged.nonce) return;
    }
  }
}
