// SPDX-License-Identifier: Apache-2.0
import type { XdsRequest } from "./protocol/request.ts";
import type { ResourceVersion } from "./protocol/response-scanner.ts";

/** What Envoy is subscribed to, and which versions it has, of one type. */
export interface TypeSubscription {
  /** The version accepted last; always empty for delta. */
  readonly version: string;
  readonly nameCount: number;
  /** Applies a request. @returns whether the subscription has changed */
  apply(request: XdsRequest): boolean;
  accept(response: AcceptedResponse): void;
  /** The request that subscribes a new stream to the same; undefined when nothing is subscribed to any more. */
  replay(): Partial<XdsRequest> | undefined;
  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean };
  /** Whether Envoy has accepted resources, or reported that it has some. */
  hasAny(): boolean;
}

interface AcceptedResponse {
  readonly resources: readonly ResourceVersion[];
  readonly removed: readonly string[];
}

/** State of the world: each request names all resources that Envoy is subscribed to. */
export class StateOfTheWorldSubscription implements TypeSubscription {
  version = "";
  #names: readonly string[] = [];
  #rest: readonly Uint8Array[] = [];
  #isNew = true;
  /** No names mean all resources in the first request, and none in a later one. Source: Envoy's xDS protocol, wildcard */
  #wildcard = false;

  get nameCount(): number {
    return this.#names.length;
  }

  apply(request: XdsRequest): boolean {
    const isChanged = this.#isNew || !sameTexts(this.#names, request.subscribe);
    if (this.#isNew) this.#wildcard = request.subscribe.length === 0;
    else if (request.subscribe.length > 0) this.#wildcard = false;
    this.#isNew = false;
    this.#names = request.subscribe;
    this.#rest = request.rest;
    if (request.error === undefined && request.version !== "") this.version = request.version;
    return isChanged;
  }

  accept(): void {
    // The version is in the request.
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

/** Delta: each request changes the subscription. Names and versions that Envoy has are kept for the next stream. */
export class DeltaSubscription implements TypeSubscription {
  readonly version = "";
  readonly #names = new Set<string>();
  readonly #versions = new Map<string, string>();
  #isNew = true;
  /** Subscribed to all resources by a first request without names. */
  #wildcard = false;

  get nameCount(): number {
    return this.#names.size;
  }

  apply(request: XdsRequest): boolean {
    if (this.#isNew) {
      this.#wildcard = request.subscribe.length === 0;
      for (const [name, version] of request.initialVersions) this.#versions.set(name, version);
    }
    const isChanged = this.#isNew || request.subscribe.length > 0 || request.unsubscribe.length > 0;
    this.#isNew = false;
    for (const name of request.subscribe) this.#names.add(name);
    for (const name of request.unsubscribe) {
      if (name === "*") this.#wildcard = false;
      this.#names.delete(name);
      if (!this.#isWildcard()) this.#versions.delete(name);
    }
    return isChanged;
  }

  accept({ resources, removed }: AcceptedResponse): void {
    for (const name of removed) this.#versions.delete(name);
    for (const { name, version } of resources) this.#versions.set(name, version);
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
