// SPDX-License-Identifier: Apache-2.0
import type { Steps } from "../lib/async/time-slice.ts";
import type { Budget } from "../lib/budget.ts";
import type { XdsRequest } from "./protocol/request.ts";
import type { ResourceVersion } from "./protocol/response-scanner.ts";

/** What Envoy is subscribed to, and which versions it has, of one type. Names and versions count against a budget. */
export interface TypeSubscription {
  /** The version accepted last; always empty for delta. */
  readonly version: string;
  readonly nameCount: number;
  /** Applies a request. @returns whether the subscription has changed. @throws BudgetSpentError when it is too large */
  apply(request: XdsRequest): Steps<boolean>;
  /** Versions that do not fit into the budget are not kept: a later stream gets those resources again. */
  accept(response: AcceptedResponse): Steps<void>;
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

/** Memory of a name, or of a name with its version, beside the texts. */
const entryBytes = 48;
/** Names of one step. */
const namesPerStep = 64;

/** Memory of the names and versions of a response, in bytes. */
export function bytesOf({ resources, removed }: AcceptedResponse): number {
  let bytes = 0;
  for (const { name, version } of resources) bytes += entryBytes + name.length + version.length;
  for (const name of removed) bytes += entryBytes + name.length;
  return bytes;
}

/** State of the world: each request names all resources that Envoy is subscribed to. */
export class StateOfTheWorldSubscription implements TypeSubscription {
  version = "";
  readonly #namesBytes: Budget | undefined;
  #names: readonly string[] = [];
  #rest: readonly Uint8Array[] = [];
  #bytes = 0;
  #isNew = true;
  /** No names mean all resources in the first request, and none in a later one. Source: Envoy's xDS protocol, wildcard */
  #wildcard = false;

  /** @param namesBytes limits names, versions and other fields that are kept */
  constructor(namesBytes?: Budget) {
    this.#namesBytes = namesBytes;
  }

  get nameCount(): number {
    return this.#names.length;
  }

  // biome-ignore lint/correctness/useYield: the texts are compared and counted in less than a millisecond
  *apply(request: XdsRequest): Steps<boolean> {
    const isChanged = this.#isNew || !sameTexts(this.#names, request.subscribe);
    if (this.#isNew) this.#wildcard = request.subscribe.length === 0;
    else if (request.subscribe.length > 0) this.#wildcard = false;
    this.#isNew = false;
    this.#take(request);
    if (isChanged) this.#names = request.subscribe;
    // A view would keep all of the request.
    this.#rest = request.rest.map((field) => Uint8Array.from(field));
    if (request.error === undefined && request.version !== "") this.version = request.version;
    return isChanged;
  }

  *accept(): Steps<void> {
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

  #take({ subscribe, rest, version }: XdsRequest): void {
    let bytes = version.length;
    for (const name of subscribe) bytes += entryBytes + name.length;
    for (const field of rest) bytes += entryBytes + field.length;
    this.#namesBytes?.release(this.#bytes);
    this.#bytes = 0;
    if (this.#namesBytes?.tryTake(bytes) === false) throw this.#namesBytes.spentError();
    this.#bytes = bytes;
  }
}

/** Delta: each request changes the subscription. Names and versions that Envoy has are kept for the next stream. */
export class DeltaSubscription implements TypeSubscription {
  readonly version = "";
  readonly #namesBytes: Budget | undefined;
  readonly #names = new Set<string>();
  readonly #versions = new Map<string, string>();
  #isNew = true;
  /** Subscribed to all resources by a first request without names. */
  #wildcard = false;

  /** @param namesBytes limits names and versions */
  constructor(namesBytes?: Budget) {
    this.#namesBytes = namesBytes;
  }

  get nameCount(): number {
    return this.#names.size;
  }

  *apply(request: XdsRequest): Steps<boolean> {
    let count = 0;
    if (this.#isNew) {
      this.#wildcard = request.subscribe.length === 0;
      for (const [name, version] of request.initialVersions) {
        if (!this.#setVersion(name, version)) throw this.#spentError();
        if (++count % namesPerStep === 0) yield;
      }
    }
    const isChanged = this.#isNew || request.subscribe.length > 0 || request.unsubscribe.length > 0;
    this.#isNew = false;
    for (const name of request.subscribe) {
      this.#addName(name);
      if (++count % namesPerStep === 0) yield;
    }
    for (const name of request.unsubscribe) {
      if (name === "*") this.#wildcard = false;
      if (this.#names.delete(name)) this.#namesBytes?.release(entryBytes + name.length);
      if (!this.#isWildcard()) this.#deleteVersion(name);
      if (++count % namesPerStep === 0) yield;
    }
    return isChanged;
  }

  *accept({ resources, removed }: AcceptedResponse): Steps<void> {
    let count = 0;
    for (const name of removed) this.#deleteVersion(name);
    for (const { name, version } of resources) {
      if (!this.#setVersion(name, version)) this.#deleteVersion(name);
      if (++count % namesPerStep === 0) yield;
    }
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

  #addName(name: string): void {
    if (this.#names.has(name)) return;
    if (this.#namesBytes?.tryTake(entryBytes + name.length) === false) throw this.#spentError();
    this.#names.add(name);
  }

  /** @returns whether it fits; if not, nothing has changed */
  #setVersion(name: string, version: string): boolean {
    const before = this.#versions.get(name);
    if (before === undefined) {
      if (this.#namesBytes?.tryTake(entryBytes + name.length + version.length) === false) return false;
    } else if (version.length > before.length) {
      if (this.#namesBytes?.tryTake(version.length - before.length) === false) return false;
    } else this.#namesBytes?.release(before.length - version.length);
    this.#versions.set(name, version);
    return true;
  }

  #deleteVersion(name: string): void {
    const version = this.#versions.get(name);
    if (version === undefined) return;
    this.#versions.delete(name);
    this.#namesBytes?.release(entryBytes + name.length + version.length);
  }

  #spentError(): Error {
    return this.#namesBytes?.spentError() ?? new Error("the subscription has no limit");
  }
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}
