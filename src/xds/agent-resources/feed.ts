// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import type { Logger } from "../../lib/log/log.ts";
import type { OwnType } from "./agent-resource-type.ts";
import { type XdsProtocol, renderRequest } from "../protocol/request.ts";
import { contentOf, type XdsResponse } from "../protocol/response.ts";
import { shortTypeName } from "../protocol/type-url.ts";
import type { XdsMetrics } from "../xds-metrics.ts";

export interface OwnTypeFeedOptions {
  readonly protocol: XdsProtocol;
  readonly log: Logger;
  readonly metrics: Pick<XdsMetrics, "rejections">;
  /** Sends a request to the control plane; failures are the stream's affair. */
  readonly reply: (request: Uint8Array) => void;
  /** Told of what is in force now. */
  readonly onAccepted: (accepted: AcceptedOwnType) => void;
  readonly signal: AbortSignal;
}

/** All there is of one of the agent's own types: each resource's bytes by its name. */
export interface AcceptedOwnType {
  readonly typeUrl: string;
  readonly version: string;
  readonly resources: ReadonlyMap<string, Uint8Array>;
}

/**
 * Answers of one of the agent's own types, on one stream. The handler works beside the stream and sees the newest
 * state only; an answer is accepted when the handler is through with it.
 */
export class OwnTypeFeed {
  readonly #type: OwnType;
  readonly #options: OwnTypeFeedOptions;
  readonly #resources = new Map<string, Uint8Array>();
  #waiting: { readonly nonce: string; readonly version: string }[] = [];
  #acceptedVersion = "";
  #isWorking = false;

  constructor(type: OwnType, options: OwnTypeFeedOptions) {
    this.#type = type;
    this.#options = options;
  }

  receive(response: XdsResponse): void {
    const { protocol } = this.#options;
    if (protocol === "sotw") this.#resources.clear();
    for (const name of response.removed) this.#resources.delete(name);
    for (const [index, { name, any }] of response.resources.entries()) {
      this.#resources.set(protocol === "sotw" ? String(index) : name, contentOf(any));
    }
    this.#waiting.push({ nonce: response.nonce, version: response.version });
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    for (let answers = this.#take(); answers.length > 0; answers = this.#take()) {
      const resources = new Map(this.#resources);
      const error = await this.#apply(resources);
      if (this.#options.signal.aborted) break;
      const { typeUrl } = this.#type;
      const { version = "" } = answers.at(-1) ?? {};
      if (error === undefined) this.#options.onAccepted({ typeUrl, version, resources });
      for (const answer of answers) this.#reply(answer, error);
    }
    this.#isWorking = false;
  }

  #take() {
    return this.#waiting.splice(0);
  }

  async #apply(resources: ReadonlyMap<string, Uint8Array>): Promise<string | undefined> {
    try {
      await this.#type.apply(resources, this.#options.signal);
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  #reply({ nonce, version }: { readonly nonce: string; readonly version: string }, error: string | undefined): void {
    const { typeUrl } = this.#type;
    const { protocol, log, metrics, reply } = this.#options;
    if (error === undefined) this.#acceptedVersion = version;
    else {
      metrics.rejections.inc(shortTypeName(typeUrl));
      log.warn("the agent refused configuration meant for it", { typeUrl, reason: error, version });
    }
    const failure = error === undefined ? {} : { error: { code: GrpcStatus.internal, message: error } };
    reply(renderRequest({ typeUrl, nonce, version: this.#acceptedVersion, ...failure }, protocol));
  }
}
