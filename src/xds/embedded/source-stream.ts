// SPDX-License-Identifier: Apache-2.0
import { readWhole } from "../../lib/grpc/message.ts";
import type { ServerStreamCall } from "../../lib/grpc/server.ts";
import { parseRequest, type XdsProtocol, type XdsRequest } from "../protocol/request.ts";
import { renderResponse, type XdsResource } from "../protocol/response.ts";
import { DeltaSubscription, StateOfTheWorldSubscription, type TypeSubscription } from "../type-subscription.ts";
import { type ResourceSet, versionOf } from "./resource-folder.ts";

/** A client did not take what it was sent. */
export interface XdsRejection {
  readonly typeUrl: string;
  /** In the client's words. */
  readonly reason: string;
}

interface SentType {
  readonly subscription: TypeSubscription;
  /** What the client was sent of the type, by name. */
  sent: ReadonlyMap<string, string>;
  /** Of the type as a whole; empty before the first answer. */
  version: string;
}

/** One client of the embedded source: answers what it asks for, and pushes what changes of it. */
export class SourceStream {
  readonly #call: ServerStreamCall;
  readonly #protocol: XdsProtocol;
  readonly #resources: () => ResourceSet;
  readonly #onRejected: (rejection: XdsRejection) => void;
  readonly #types = new Map<string, SentType>();
  #nonce = 0;

  constructor(
    call: ServerStreamCall,
    protocol: XdsProtocol,
    resources: () => ResourceSet,
    onRejected: (rejection: XdsRejection) => void,
  ) {
    this.#call = call;
    this.#protocol = protocol;
    this.#resources = resources;
    this.#onRejected = onRejected;
  }

  async run(): Promise<void> {
    for await (const message of this.#call.requests) {
      const request = parseRequest(await readWhole(message), this.#protocol);
      const { typeUrl, error } = request;
      if (error !== undefined) this.#onRejected({ typeUrl, reason: error.message });
      const type = this.#typeOf(request);
      if (type.subscription.apply(request)) await this.#answer(typeUrl, type, true);
    }
  }

  /** The folder has changed. */
  async push(): Promise<void> {
    for (const [typeUrl, type] of this.#types) await this.#answer(typeUrl, type, false);
  }

  async #answer(typeUrl: string, type: SentType, always: boolean): Promise<void> {
    const set = this.#resources();
    const { names, wildcard } = type.subscription.subscribed();
    const held = set.get(typeUrl) ?? new Map<string, XdsResource>();
    const wanted = [...held.values()].filter(({ name }) => wildcard || names.includes(name));
    const sent = new Map(wanted.map(({ name, version }) => [name, version]));
    const isDelta = this.#protocol === "delta";
    const resources = isDelta ? wanted.filter(({ name, version }) => type.sent.get(name) !== version) : wanted;
    const known = always ? [...type.sent.keys(), ...names.filter((name) => name !== "*")] : [...type.sent.keys()];
    const removed = isDelta ? [...new Set(known)].filter((name) => !sent.has(name)) : [];
    const version = versionOf(set, typeUrl);
    const isChanged = isDelta ? resources.length + removed.length > 0 : version !== type.version;
    if (!isChanged && !always) return;
    type.sent = sent;
    type.version = version;
    const nonce = String(++this.#nonce);
    const bytes = renderResponse({ typeUrl, version, nonce, resources, removed }, this.#protocol);
    await this.#call.write(bytes).catch(() => undefined);
  }

  #typeOf(request: XdsRequest): SentType {
    let type = this.#types.get(request.typeUrl);
    if (type === undefined) {
      const subscription = this.#protocol === "sotw" ? new StateOfTheWorldSubscription() : new DeltaSubscription();
      type = { subscription, sent: request.initialVersions, version: "" };
      this.#types.set(request.typeUrl, type);
    }
    return type;
  }
}
