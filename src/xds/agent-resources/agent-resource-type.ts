// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import type { Logger } from "../../lib/log/log.ts";
import { type XdsProtocol, renderRequest } from "../protocol/request.ts";
import { contentOf, type XdsResponse } from "../protocol/response.ts";
import { shortTypeName } from "../protocol/type-url.ts";
import type { XdsMetrics } from "../xds-metrics.ts";

/** A resource type that the agent itself subscribes to, on Envoy's stream: NDS, PCDS. */
export interface AgentResourceType {
  readonly typeUrl: string;
  /** Whether accepted resources are kept in the response cache, and applied at a start without a control plane. */
  readonly isCached?: boolean;
  /**
   * Applies all resources of the type: each resource's bytes by its name, or by its position in state of the world,
   * which has no names. Empty means that none are left. An error rejects the response; its text is in the NACK.
   */
  apply(resources: ReadonlyMap<string, Uint8Array>, signal: AbortSignal): Promise<void>;
}

/** All resources of a type that the agent accepted: each resource's bytes by its name. */
export interface AcceptedResources {
  readonly typeUrl: string;
  readonly version: string;
  readonly resources: ReadonlyMap<string, Uint8Array>;
}

export interface AgentResourceReceiverOptions {
  readonly protocol: XdsProtocol;
  readonly log: Logger;
  readonly metrics: Pick<XdsMetrics, "rejections">;
  /** Sends a request to the control plane. Does not throw. */
  readonly send: (request: Uint8Array) => void;
  readonly onAccepted: (accepted: AcceptedResources) => void;
  readonly signal: AbortSignal;
}

/**
 * Applies the responses of one agent resource type on one stream to the control plane, beside the stream. While one is
 * applied, later ones are collected and applied together. Each response gets its ACK or NACK afterwards.
 */
export class AgentResourceReceiver {
  readonly #type: AgentResourceType;
  readonly #options: AgentResourceReceiverOptions;
  readonly #resources = new Map<string, Uint8Array>();
  #waiting: { readonly nonce: string; readonly version: string }[] = [];
  #acceptedVersion = "";
  #isApplying = false;

  constructor(type: AgentResourceType, options: AgentResourceReceiverOptions) {
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
    if (!this.#isApplying) void this.#applyWaiting();
  }

  async #applyWaiting(): Promise<void> {
    this.#isApplying = true;
    while (this.#waiting.length > 0) {
      const responses = this.#waiting.splice(0);
      const resources = new Map(this.#resources);
      const error = await this.#apply(resources);
      if (this.#options.signal.aborted) break;
      const { typeUrl } = this.#type;
      const { version = "" } = responses.at(-1) ?? {};
      if (error === undefined) this.#options.onAccepted({ typeUrl, version, resources });
      for (const response of responses) this.#acknowledge(response, error);
    }
    this.#isApplying = false;
  }

  async #apply(resources: ReadonlyMap<string, Uint8Array>): Promise<string | undefined> {
    try {
      await this.#type.apply(resources, this.#options.signal);
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  /** Sends an ACK, or a NACK when there is an error. */
  #acknowledge(
    { nonce, version }: { readonly nonce: string; readonly version: string },
    error: string | undefined,
  ): void {
    const { typeUrl } = this.#type;
    const { protocol, log, metrics, send } = this.#options;
    if (error === undefined) this.#acceptedVersion = version;
    else {
      metrics.rejections.inc(shortTypeName(typeUrl));
      log.warn("agent rejected configuration", { typeUrl, reason: error, version });
    }
    const failure = error === undefined ? {} : { error: { code: GrpcStatus.internal, message: error } };
    send(renderRequest({ typeUrl, nonce, version: this.#acceptedVersion, ...failure }, protocol));
  }
}
