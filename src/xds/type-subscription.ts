// SPDX-License-Identifier: Apache-2.0
import type { XdsRequest } from "./protocol/request.ts";
import type { ResourceVersion } from "./protocol/response-scanner.ts";

/** What Envoy wants and has of one type. */
export interface TypeSubscription {
  /** Last accepted; always empty for delta. */
  readonly version: string;
  /** Takes in a request; true when it changes what is wanted. */
  apply(request: XdsRequest): boolean;
  accept(answer: { readonly resources: readonly ResourceVersion[]; readonly removed: readonly string[] }): void;
  /** The request that asks a new stream for the same; undefined when nothing is wanted any more. */
  replay(): Partial<XdsRequest> | undefined;
  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean };
  hasAny(): boolean;
}

/** State of the world: each request names everything that is wanted. */
export class StateOfTheWorldSubscription implements TypeSubscription {
  version = "";
  #names: readonly string[] = [];
  #rest: readonly Uint8Array[] = [];
  #isNew = true;
  /** No names in the first request mean everything; in a later one, nothing. Source: Envoy's xDS protocol, wildcard */
  #wildcard = false;

  apply(request: XdsRequest): boolean {
    const changed = this.#isNew || !sameTexts(this.#names, request.subscribe);
    if (this.#isNew) this.#wildcard = request.subscribe.length === 0;
    else if (request.subscribe.length > 0) this.#wildcard = false;
    this.#isNew = false;
    this.#names = request.subscribe;
    this.#rest = request.rest;
    if (request.error === undefined && request.version !== "") this.version = request.version;
    return changed;
  }

  accept(): void {
    // the version is in the request itself
  }

  replay(): Partial<XdsRequest> | undefined {
    if (this.#names.length === 0 && !this.#wildcard) return undefined;
    return { version: this.version, subscribe: this.#names, rest: this.#rest };
  }

  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean } {
    return { names: this.#names, wildcard: this.#wildcard || this.#names.includes("*") };
  }

  hasAny(): boolean {
    return this.version !== "";
  }
}

/** Delta: requests change what is wanted; names and versions that Envoy has are kept for the next stream. */
export class DeltaSubscription implements TypeSubscription {
  readonly version = "";
  readonly #names = new Set<string>();
  readonly #versions = new Map<string, string>();
  #isNew = true;
  /** Without naming anything, which only the first request can do. */
  #wildcard = false;

  apply(request: XdsRequest): boolean {
    if (this.#isNew) {
      this.#wildcard = request.subscribe.length === 0;
      for (const [name, version] of request.initialVersions) this.#versions.set(name, version);
    }
    const changed = this.#isNew || request.subscribe.length > 0 || request.unsubscribe.length > 0;
    this.#isNew = false;
    for (const name of request.subscribe) this.#names.add(name);
    for (const name of request.unsubscribe) {
      if (name === "*") this.#wildcard = false;
      this.#names.delete(name);
      if (!this.#isWildcard()) this.#versions.delete(name);
    }
    return changed;
  }

  accept(answer: { readonly resources: readonly ResourceVersion[]; readonly removed: readonly string[] }): void {
    for (const name of answer.removed) this.#versions.delete(name);
    for (const { name, version } of answer.resources) this.#versions.set(name, version);
  }

  replay(): Partial<XdsRequest> | undefined {
    if (this.#names.size === 0 && !this.#wildcard) return undefined;
    const named = [...this.#names];
    const subscribe = this.#wildcard && named.length > 0 && !this.#names.has("*") ? ["*", ...named] : named;
    return { subscribe, initialVersions: this.#versions };
  }

  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean } {
    return { names: [...this.#names], wildcard: this.#isWildcard() };
  }

  hasAny(): boolean {
    return this.#versions.size > 0;
  }

  #isWildcard(): boolean {
    return this.#wildcard || this.#names.has("*");
  }
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}
