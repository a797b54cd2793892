// SPDX-License-Identifier: Apache-2.0
import { runSteps } from "../../lib/async/time-slice.ts";
import type { MessageStream } from "../../lib/grpc/grpc-js-server.ts";
import { parseRequest, type XdsProtocol, type XdsRequest } from "../protocol/request.ts";
import { renderResponse, type XdsResource } from "../protocol/response.ts";
import { DeltaSubscription, StateOfTheWorldSubscription, type TypeSubscription } from "../type-subscription.ts";
import { type ResourceSet, versionOf } from "./resource-folder.ts";

/** A client's NACK. */
export interface XdsRejection {
  readonly typeUrl: string;
  /** The client's error message. */
  readonly reason: string;
}

/** One resource type on a stream: what the client subscribes to, and what it was sent. */
interface SubscribedType {
  readonly subscription: TypeSubscription;
  /** Versions by name. */
  sent: ReadonlyMap<string, string>;
  /** Of the type as a whole; empty before the first response. */
  version: string;
}

/** One client of the control plane: responds to its subscriptions, and pushes what changes of them. */
export class ClientStream {
  readonly #stream: MessageStream;
  readonly #protocol: XdsProtocol;
  readonly #resources: () => ResourceSet;
  readonly #onRejected: (rejection: XdsRejection) => void;
  readonly #types = new Map<string, SubscribedType>();
  #nonce = 0;

  constructor(
    stream: MessageStream,
    protocol: XdsProtocol,
    resources: () => ResourceSet,
    onRejected: (rejection: XdsRejection) => void,
  ) {
    this.#stream = stream;
    this.#protocol = protocol;
    this.#resources = resources;
    this.#onRejected = onRejected;
  }

  /** Returns when the client ends the stream. */
  async run(): Promise<void> {
    for await (const message of this.#stream.requests) {
      const request = parseRequest(message, this.#protocol);
      const { typeUrl, error } = request;
      if (error !== undefined) this.#onRejected({ typeUrl, reason: error.message });
      const type = this.#typeOf(request);
      if (runSteps(type.subscription.apply(request))) await this.#respond(typeUrl, type);
    }
  }

  /** Sends what has changed since the last response of each type. */
  async push(): Promise<void> {
    for (const [typeUrl, type] of this.#types) await this.#respond(typeUrl, type, { onlyChanges: true });
  }

  async #respond(typeUrl: string, type: SubscribedType, { onlyChanges } = { onlyChanges: false }): Promise<void> {
    const set = this.#resources();
    const { names, wildcard } = type.subscription.subscribed();
    const named = new Set(names);
    const available = set.get(typeUrl) ?? new Map<string, XdsResource>();
    const wanted = [...available.values()].filter(({ name }) => wildcard || named.has(name));
    const sent = new Map(wanted.map(({ name, version }) => [name, version]));
    const isDelta = this.#protocol === "delta";
    const resources = isDelta ? wanted.filter(({ name, version }) => type.sent.get(name) !== version) : wanted;
    // A delta client also has to learn that a resource it subscribes to does not exist.
    const known = onlyChanges ? [...type.sent.keys()] : [...type.sent.keys(), ...names.filter((name) => name !== "*")];
    const removed = isDelta ? [...new Set(known)].filter((name) => !sent.has(name)) : [];
    const version = versionOf(set, typeUrl);
    const hasChanged = isDelta ? resources.length + removed.length > 0 : version !== type.version;
    if (onlyChanges && !hasChanged) return;
    type.sent = sent;
    type.version = version;
    const nonce = String(++this.#nonce);
    await this.#stream.write(renderResponse({ typeUrl, version, nonce, resources, removed }, this.#protocol));
  }

  #typeOf(request: XdsRequest): SubscribedType {
    let type = this.#types.get(request.typeUrl);
    if (type === undefined) {
      const subscription = this.#protocol === "sotw" ? new StateOfTheWorldSubscription() : new DeltaSubscription();
      type = { subscription, sent: request.initialVersions, version: "" };
      this.#types.set(request.typeUrl, type);
    }
    return type;
  }
}
