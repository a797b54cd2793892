// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { shortenPeerText } from "../../lib/printable-text.ts";

/** What became of the responses of one type that the agent itself reads. Times are milliseconds since the epoch. */
export interface AgentResourceStatus {
  readonly typeUrl: string;
  /** Whether the agent itself subscribes to it; otherwise it reads what Envoy has subscribed to. */
  readonly isSubscribed: boolean;
  /** Of the response received last. */
  readonly versionReceived: string;
  readonly lastReceivedAtMs: number | undefined;
  /** Of the response accepted last. */
  readonly version: string;
  readonly lastAcceptedAtMs: number | undefined;
  /** Set while the last response is rejected. */
  readonly rejection: { readonly version: string; readonly sinceMs: number; readonly reason: string } | undefined;
}

export interface AgentResourceOutcome {
  readonly typeUrl: string;
  readonly version: string;
  /** Why the agent rejected the response; undefined when it accepted it. */
  readonly error: string | undefined;
}

/** For the status page: NDS, PCDS, and ECDS where the agent converts extensions. One entry for each type. */
export class AgentResourceOutcomes {
  readonly #clock: Pick<Clock, "now">;
  readonly #subscribed: ReadonlySet<string>;
  readonly #types = new Map<string, AgentResourceStatus>();

  /** @param subscribed the types that the agent itself subscribes to */
  constructor(subscribed: readonly { readonly typeUrl: string }[], clock: Pick<Clock, "now">) {
    this.#subscribed = new Set(subscribed.map(({ typeUrl }) => typeUrl));
    this.#clock = clock;
  }

  /** Of each type that the agent subscribes to, and of others of which it has rejected a response. */
  all(): readonly AgentResourceStatus[] {
    return [...new Set([...this.#subscribed, ...this.#types.keys()])].map((typeUrl) => this.#of(typeUrl));
  }

  #of(typeUrl: string): AgentResourceStatus {
    const known = this.#types.get(typeUrl);
    if (known !== undefined) return known;
    return {
      typeUrl,
      isSubscribed: this.#subscribed.has(typeUrl),
      versionReceived: "",
      lastReceivedAtMs: undefined,
      version: "",
      lastAcceptedAtMs: undefined,
      rejection: undefined,
    };
  }

  /** The type is one that this program knows, not a text of a peer. */
  record({ typeUrl, version, error }: AgentResourceOutcome): void {
    const nowMs = this.#clock.now();
    const before = this.#of(typeUrl);
    const versionReceived = shortenPeerText(version);
    const received = { ...before, versionReceived, lastReceivedAtMs: nowMs };
    if (error === undefined) {
      this.#types.set(typeUrl, {
        ...received,
        version: versionReceived,
        lastAcceptedAtMs: nowMs,
        rejection: undefined,
      });
      return;
    }
    const sinceMs = before.rejection?.sinceMs ?? nowMs;
    const rejection = { version: versionReceived, sinceMs, reason: shortenPeerText(error) };
    this.#types.set(typeUrl, { ...received, rejection });
  }
}
