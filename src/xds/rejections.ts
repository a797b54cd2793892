// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { Budgets } from "../model/limits.ts";
import { adviceOnMissingExtensions } from "../model/missing-extensions.ts";
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
  readonly clock: Clock;
  readonly metrics: Pick<XdsMetrics, "rejections" | "rejected">;
  readonly budgets: Budgets;
  /** Who subscribes, for the log. Default `Envoy`. */
  readonly client?: string;
}

/** Least time between two debug lines about accepted responses of one type: there may be thousands a minute. */
const acceptedLogIntervalMs = 1_000;

/** Names in an explanation, which is one line. */
const explainedNames = 3;

/** Names in one log line; the status page has more. */
const loggedNames = 10;

/** What Envoy rejects: a log line, a metric, and an entry for the status page until Envoy accepts the type again. */
export class Rejections {
  readonly #deps: RejectionsDeps;
  readonly #current = new Map<string, Rejection>();
  readonly #acceptedLoggedAtMs = new Map<string, number>();
  readonly #logs = new Map<string, OutageLog>();

  constructor(deps: RejectionsDeps) {
    this.#deps = deps;
  }

  /** What is rejected of a type, why and what to do about it, in one line; undefined while Envoy accepts it. */
  explain(typeUrl: string): string | undefined {
    const rejection = this.#current.get(typeUrl);
    if (rejection === undefined) return undefined;
    const { resources, reason } = rejection;
    const named = resources.length === 0 ? shortTypeName(typeUrl) : resources.slice(0, explainedNames).join(", ");
    return `${named}: ${adviceOnMissingExtensions(reason) ?? reason}`;
  }

  current(): readonly Rejection[] {
    return [...this.#current.values()];
  }

  record(acknowledgement: Acknowledgement): void {
    const { response } = acknowledgement;
    const [typeUrl, version] = [shortenPeerText(response.typeUrl), shortenPeerText(response.version)];
    const type = shortTypeName(response.typeUrl);
    const { metrics, clock, client = "Envoy" } = this.#deps;
    if (acknowledgement.kind === "ack") {
      this.#logAccepted(type, version);
      if (!this.#current.delete(typeUrl)) return;
      metrics.rejected.set(0, type);
      this.#logOf(type).works({ type, typeUrl, version });
      return;
    }
    const versionInUse = shortenPeerText(acknowledgement.versionInUse);
    const { budgets } = this.#deps;
    const names = Array.from(response.resources, ({ name }) => name);
    const rejected = namesIn(acknowledgement.reason, names, budgets.of("xds-rejected-names").size);
    const resources = rejected.map(shortenPeerText);
    const reason = shortenPeerText(acknowledgement.reason);
    this.#forgetOldest(typeUrl);
    const sinceMs = this.#current.get(typeUrl)?.sinceMs ?? clock.now();
    this.#current.set(typeUrl, { typeUrl, versionInUse, versionRejected: version, sinceMs, resources, reason });
    metrics.rejections.inc(type);
    metrics.rejected.set(1, type);
    const some = resources.slice(0, loggedNames);
    const more = resources.length > loggedNames ? { resourceCount: resources.length } : {};
    const advice = adviceOnMissingExtensions(acknowledgement.reason);
    this.#logOf(type).failed({
      level: "warn",
      message: `${client} rejected configuration`,
      kind: reason,
      fields: { type, typeUrl, resources: some, ...more, reason, version, versionInUse, advice },
    });
  }

  /** A control plane may cause a rejection with each response; lines of one type do not displace those of another. */
  #logOf(type: string): OutageLog {
    const { log, clock, client = "Envoy" } = this.#deps;
    const recovered = `${client} accepts configuration again`;
    const outage = this.#logs.get(type) ?? new OutageLog(log, clock, { recovered });
    this.#logs.set(type, outage);
    return outage;
  }

  #forgetOldest(typeUrl: string): void {
    if (this.#current.has(typeUrl) || this.#deps.budgets.of("xds-rejections").admits(this.#current.size + 1)) return;
    const [oldest] = this.#current.keys();
    if (oldest !== undefined) this.#current.delete(oldest);
  }

  #logAccepted(type: string, version: string): void {
    const nowMs = this.#deps.clock.now();
    const loggedAtMs = this.#acceptedLoggedAtMs.get(type);
    if (loggedAtMs !== undefined && Math.abs(nowMs - loggedAtMs) < acceptedLogIntervalMs) return;
    this.#acceptedLoggedAtMs.set(type, nowMs);
    const { log, client = "Envoy" } = this.#deps;
    log.debug(`${client} accepted configuration`, { type, version });
  }
}

/**
 * The resources that a NACK is about. Envoy names them in its text: `Error adding/updating cluster(s) a: why, b: why`.
 * Names of the response that the text contains take precedence. Takes time in proportion to the text and the names.
 * @param maxNames how many are returned
 * Source: texts observed with Envoy 1.40
 */
export function namesIn(reason: string, known: readonly string[], maxNames = 100): readonly string[] {
  const named = namedIn(reason, known, maxNames);
  if (named.length > 0) return named;
  const at = reason.indexOf(listStart);
  const start = at < 0 ? -1 : reason.indexOf("(s) ", at);
  // Without a name in the text, all resources of a small response are reported.
  if (start < 0) return known.length <= fewNames ? known : [];
  const list = reason.slice(start + "(s) ".length);
  const end = list.indexOf(": ");
  return [end < 0 ? list : list.slice(0, end)];
}

const listStart = "Error adding/updating ";
const fewNames = 5;

/** A name may have spaces: then it is searched for in the text, as long as there are few of them. */
const searchedNames = 200;

function namedIn(reason: string, known: readonly string[], maxNames: number): readonly string[] {
  const names = new Set(known);
  const found = new Set<string>();
  for (const word of reason.split(/[\s,;'"()]/)) {
    const name = names.has(word) ? word : word.replace(/:$/, "");
    if (name !== "" && names.has(name)) found.add(name);
    if (found.size === maxNames) break;
  }
  if (found.size > 0 || known.length > searchedNames) return [...found];
  return longestOnly(known.filter((name) => name !== "" && reason.includes(name))).slice(0, maxNames);
}

/** Without names that are part of another one: `a` beside `a-b`. */
function longestOnly(names: readonly string[]): readonly string[] {
  return names.filter((name) => !names.some((other) => other !== name && other.includes(name)));
}
