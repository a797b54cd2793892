// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../lib/log/log.ts";
import { shortTypeName } from "./protocol/type-url.ts";
import type { Acknowledgement } from "./subscriptions.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

/** A type whose last response Envoy rejected (NACK). */
export interface Rejection {
  readonly typeUrl: string;
  /** The version that Envoy keeps; empty when it has none, or the protocol has no version for the type. */
  readonly versionInUse: string;
  readonly versionRejected: string;
  /** Wall clock of the first rejection since the last accepted response. */
  readonly sinceMs: number;
  /** The rejected resources, as far as they are known. */
  readonly resources: readonly string[];
  /** Envoy's error message. */
  readonly reason: string;
}

export interface RejectionsDeps {
  readonly log: Logger;
  readonly clock: { now(): number };
  readonly metrics: Pick<XdsMetrics, "rejections" | "rejected">;
}

/** Least time between two debug lines about accepted responses of one type: there may be thousands a minute. */
const acceptedLogIntervalMs = 1_000;

/** What Envoy rejects: a log line, a metric, and an entry for the status page until Envoy accepts the type again. */
export class Rejections {
  readonly #deps: RejectionsDeps;
  readonly #current = new Map<string, Rejection>();
  readonly #acceptedLoggedAtMs = new Map<string, number>();

  constructor(deps: RejectionsDeps) {
    this.#deps = deps;
  }

  current(): readonly Rejection[] {
    return [...this.#current.values()];
  }

  record(acknowledgement: Acknowledgement): void {
    const { typeUrl, version } = acknowledgement.response;
    const type = shortTypeName(typeUrl);
    const { log, metrics, clock } = this.#deps;
    if (acknowledgement.kind === "ack") {
      this.#logAccepted(type, version);
      if (!this.#current.delete(typeUrl)) return;
      metrics.rejected.set(0, type);
      log.info("Envoy accepts configuration again", { type, typeUrl, version });
      return;
    }
    const { reason, versionInUse } = acknowledgement;
    const names = acknowledgement.response.resources.map(({ name }) => name);
    const resources = namesIn(reason, names);
    const sinceMs = this.#current.get(typeUrl)?.sinceMs ?? clock.now();
    this.#current.set(typeUrl, { typeUrl, versionInUse, versionRejected: version, sinceMs, resources, reason });
    metrics.rejections.inc(type);
    metrics.rejected.set(1, type);
    log.warn("Envoy rejected configuration", { type, typeUrl, resources, reason, version, versionInUse });
  }

  #logAccepted(type: string, version: string): void {
    const nowMs = this.#deps.clock.now();
    const loggedAtMs = this.#acceptedLoggedAtMs.get(type);
    if (loggedAtMs !== undefined && Math.abs(nowMs - loggedAtMs) < acceptedLogIntervalMs) return;
    this.#acceptedLoggedAtMs.set(type, nowMs);
    this.#deps.log.debug("Envoy accepted configuration", { type, version });
  }
}

/**
 * The resources that a NACK is about. Envoy names them in its text: `Error adding/updating cluster(s) a: why, b: why`.
 * Names of the response that the text contains take precedence.
 * Source: texts observed with Envoy 1.40
 */
export function namesIn(reason: string, known: readonly string[]): readonly string[] {
  const named = known.filter((name) => name !== "" && reason.includes(name));
  if (named.length > 0) return longestOnly(named);
  const list = /Error adding\/updating \S+?\(s\) (.*)$/s.exec(reason)?.[1] ?? "";
  // Without a name in the text, all resources of a small response are reported.
  if (list === "") return known.length <= fewNames ? known : [];
  return [list.slice(0, list.indexOf(": ") === -1 ? undefined : list.indexOf(": "))];
}

const fewNames = 5;

/** Without names that are part of another one: `a` beside `a-b`. */
function longestOnly(names: readonly string[]): readonly string[] {
  return names.filter((name) => !names.some((other) => other !== name && other.includes(name)));
}
