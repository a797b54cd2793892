// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../lib/log/log.ts";
import type { Verdict } from "./subscriptions.ts";
import { shortTypeName } from "./protocol/type-url.ts";
import type { XdsMetrics } from "./xds-metrics.ts";

/** A type of which the last answer was refused. */
export interface Refusal {
  readonly typeUrl: string;
  /** Of what Envoy goes on with; empty when it has nothing, or the protocol has no version for the type. */
  readonly versionInUse: string;
  readonly versionRefused: string;
  /** Wall clock of the first refusal since the last acceptance. */
  readonly sinceMs: number;
  /** Of the resources, as far as they can be told. */
  readonly resources: readonly string[];
  /** In Envoy's words. */
  readonly reason: string;
}

/** What Envoy refuses: one line in the log, a metric, an entry for the status page; gone when it accepts again. */
export class Refusals {
  readonly #deps: RefusalDeps;
  readonly #current = new Map<string, Refusal>();
  /** When an acceptance of a type was told last. */
  readonly #accepted = new Map<string, number>();

  constructor(deps: RefusalDeps) {
    this.#deps = deps;
  }

  note(verdict: Verdict): void {
    const { typeUrl, version } = verdict.answer;
    const type = shortTypeName(typeUrl);
    if (verdict.kind === "accepted") {
      this.#tell(type, version);
      if (!this.#current.delete(typeUrl)) return;
      this.#deps.metrics.rejected.set(0, type);
      this.#deps.log.info("Envoy accepts the configuration again", { type, typeUrl, version });
      return;
    }
    const { reason, versionInUse } = verdict;
    const resources = namesIn(
      reason,
      verdict.answer.resources.map(({ name }) => name),
    );
    const sinceMs = this.#current.get(typeUrl)?.sinceMs ?? this.#deps.clock.now();
    this.#current.set(typeUrl, { typeUrl, versionInUse, versionRefused: version, sinceMs, resources, reason });
    this.#deps.metrics.rejections.inc(type);
    this.#deps.metrics.rejected.set(1, type);
    this.#deps.log.warn("Envoy refused configuration", { type, typeUrl, resources, reason, version, versionInUse });
  }

  /** Not each of thousands a minute: of a type once in a second. */
  #tell(type: string, version: string): void {
    const nowMs = this.#deps.clock.now();
    const told = this.#accepted.get(type);
    if (told !== undefined && Math.abs(nowMs - told) < 1_000) return;
    this.#accepted.set(type, nowMs);
    this.#deps.log.debug("Envoy accepts configuration", { type, version });
  }

  current(): readonly Refusal[] {
    return [...this.#current.values()];
  }
}

export interface RefusalDeps {
  readonly log: Logger;
  readonly clock: { now(): number };
  readonly metrics: Pick<XdsMetrics, "rejections" | "rejected">;
}

/**
 * The resources that a refusal is about. Envoy names them in its text: `Error adding/updating cluster(s) a: why, b: why`;
 * names known from the answer count where the text has them.
 * Source: texts observed with Envoy 1.40
 */
export function namesIn(reason: string, known: readonly string[]): readonly string[] {
  const named = known.filter((name) => name !== "" && reason.includes(name));
  if (named.length > 0) return longestOnly(named);
  const list = /Error adding\/updating \S+?\(s\) (.*)$/s.exec(reason)?.[1] ?? "";
  // Without a name in the text, an answer with few resources is as near as can be told.
  if (list === "") return known.length <= fewNames ? known : [];
  return [list.slice(0, list.indexOf(": ") === -1 ? undefined : list.indexOf(": "))];
}

const fewNames = 5;

/** Without those that are only a part of another: `a` beside `a-b`. */
function longestOnly(names: readonly string[]): readonly string[] {
  return names.filter((name) => !names.some((other) => other !== name && other.includes(name)));
}
