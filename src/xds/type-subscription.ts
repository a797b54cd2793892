// SPDX-License-Identifier: Apache-2.0
import type { Steps } from "../lib/async/time-slice.ts";
import type { Budget } from "../lib/budget.ts";
import type { RenderedRequest, XdsRequest } from "./protocol/request.ts";
import type { ResourceVersions } from "./protocol/resource-versions.ts";

/** What Envoy is subscribed to, and which versions it has, of one type. Names and versions count against a budget. */
export interface TypeSubscription {
  /** The version accepted last; always empty for delta. */
  readonly version: string;
  readonly nameCount: number;
  /** How many resources Envoy has; undefined for state of the world, which has no names. */
  readonly resourceCount: number | undefined;
  /** Applies a request. @returns whether the subscription has changed. @throws BudgetSpentError when it is too large */
  apply(request: XdsRequest): Steps<boolean>;
  /** Versions that do not fit into the budget are not kept: a later stream gets those resources again. */
  accept(response: AcceptedResponse): Steps<void>;
  /** The request that subscribes a new stream to the same; undefined when nothing is subscribed to any more. */
  replay(): ReplayRequest | undefined;
  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean };
  /** Whether Envoy has accepted resources, or reported that it has some. */
  hasAny(): boolean;
}

/** Names and versions are read while the request is written: copies of thousands would be thrown away at once. */
type ReplayRequest = Omit<RenderedRequest, "typeUrl">;

interface AcceptedResponse {
  readonly resources: ResourceVersions;
  readonly removed: readonly string[];
}

/** Memory of a name, or of a name with its version, beside the texts. */
export const entryBytes = 48;
/** Names of one step. */
const namesPerStep = 64;

/** Memory of the names and versions of a response, in bytes. */
export function bytesOf({ resources, removed }: AcceptedResponse): number {
  let bytes = resources.length * entryBytes;
  if (resources.textBytes !== undefined) bytes += resources.textBytes;
  else for (const { name, version } of resources) bytes += name.length + version.length;
  for (const name of removed) bytes += entryBytes + name.length;
  return bytes;
}

/** State of the world: each request names all resources that Envoy is subscribed to. */
export class StateOfTheWorldSubscription implements TypeSubscription {
  version = "";
  readonly resourceCount = undefined;
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

  replay(): ReplayRequest | undefined {
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

/**
 * What is known of a name. Thousands of names have the same version and share one of these; nothing in them changes.
 */
interface NameState {
  readonly isSubscribed: boolean;
  /** The version that Envoy has; undefined when it has none. */
  readonly version: string | undefined;
}

/** Delta: each request changes the subscription. Names and versions that Envoy has are kept for the next stream. */
export class DeltaSubscription implements TypeSubscription {
  readonly version = "";
  readonly #namesBytes: Budget | undefined;
  readonly #names = new Map<string, NameState>();
  #last: NameState = { isSubscribed: true, version: undefined };
  #subscribed = 0;
  #versions = 0;
  #isNew = true;
  /** Subscribed to all resources by a first request without names. */
  #wildcard = false;

  /** @param namesBytes limits names and versions */
  constructor(namesBytes?: Budget) {
    this.#namesBytes = namesBytes;
  }

  get nameCount(): number {
    return this.#subscribed;
  }

  get resourceCount(): number {
    return this.#versions;
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
      this.#removeName(name);
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

  replay(): ReplayRequest | undefined {
    if (this.#subscribed === 0 && !this.#wildcard) return undefined;
    return { subscribe: this.#subscribedNames(), initialVersions: this.#knownVersions() };
  }

  subscribed(): { readonly names: readonly string[]; readonly wildcard: boolean } {
    const names = [...this.#names].filter(([, { isSubscribed }]) => isSubscribed).map(([name]) => name);
    return { names, wildcard: this.#isWildcard() };
  }

  hasAny(): boolean {
    return this.#versions > 0;
  }

  *#subscribedNames(): Generator<string, void, undefined> {
    if (this.#wildcard && this.#subscribed > 0 && !this.#isSubscribed("*")) yield "*";
    for (const [name, { isSubscribed }] of this.#names) if (isSubscribed) yield name;
  }

  *#knownVersions(): Generator<readonly [string, string], void, undefined> {
    for (const [name, { version }] of this.#names) if (version !== undefined) yield [name, version];
  }

  #isWildcard(): boolean {
    return this.#wildcard || this.#isSubscribed("*");
  }

  #isSubscribed(name: string): boolean {
    return this.#names.get(name)?.isSubscribed === true;
  }

  #addName(name: string): void {
    const before = this.#names.get(name);
    if (before?.isSubscribed === true) return;
    if (this.#namesBytes?.tryTake(entryBytes + name.length) === false) throw this.#spentError();
    this.#names.set(name, this.#stateOf(true, before?.version));
    this.#subscribed++;
  }

  #removeName(name: string): void {
    const before = this.#names.get(name);
    if (before?.isSubscribed === true) {
      this.#namesBytes?.release(entryBytes + name.length);
      this.#subscribed--;
      if (before.version === undefined) this.#names.delete(name);
      else this.#names.set(name, this.#stateOf(false, before.version));
    }
    if (!this.#isWildcard()) this.#deleteVersion(name);
  }

  /** @returns whether it fits; if not, nothing has changed */
  #setVersion(name: string, version: string): boolean {
    const before = this.#names.get(name);
    if (before?.version === undefined) {
      if (this.#namesBytes?.tryTake(entryBytes + name.length + version.length) === false) return false;
      this.#versions++;
    } else if (version.length > before.version.length) {
      if (this.#namesBytes?.tryTake(version.length - before.version.length) === false) return false;
    } else this.#namesBytes?.release(before.version.length - version.length);
    this.#names.set(name, this.#stateOf(before?.isSubscribed === true, version));
    return true;
  }

  #deleteVersion(name: string): void {
    const before = this.#names.get(name);
    if (before?.version === undefined) return;
    if (before.isSubscribed) this.#names.set(name, this.#stateOf(true, undefined));
    else this.#names.delete(name);
    this.#versions--;
    this.#namesBytes?.release(entryBytes + name.length + before.version.length);
  }

  #stateOf(isSubscribed: boolean, version: string | undefined): NameState {
    if (this.#last.isSubscribed !== isSubscribed || this.#last.version !== version) {
      this.#last = { isSubscribed, version };
    }
    return this.#last;
  }

  #spentError(): Error {
    return this.#namesBytes?.spentError() ?? new Error("the subscription has no limit");
  }
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}
