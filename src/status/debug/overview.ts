// SPDX-License-Identifier: Apache-2.0
import type { BudgetFacts } from "../../lib/budget-set.ts";
import type { Clock } from "../../lib/async/clock.ts";
import type {
  AgentFacts,
  CaFacts,
  CertificateFacts,
  ControlPlaneFacts,
  EnvoyFacts,
  Inspection,
  LoggedProblem,
  RootFacts,
  WorkloadFacts,
  XdsFacts,
} from "../inspection.ts";
import type { ProbeResult } from "../probes/app-probe-route.ts";
import { type ReadinessReport, reportJson } from "../readiness/readiness-report.ts";
import type { StatusSources } from "../status-sources.ts";
import { type Headline, headlineOf } from "./headline.ts";

/** The content of the status page. Parts that this agent does not have are undefined. */
export interface Overview {
  readonly version: string | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly headline: Headline;
  readonly agent: AgentFacts | undefined;
  readonly envoy: EnvoyFacts | undefined;
  readonly node: WorkloadFacts | undefined;
  readonly ca: CaFacts | undefined;
  readonly controlPlane: ControlPlaneFacts | undefined;
  readonly readiness: ReadinessReport;
  readonly certificates: readonly CertificateFacts[];
  readonly roots: readonly RootFacts[];
  readonly xds: XdsFacts | undefined;
  readonly lastErrors: readonly LoggedProblem[];
  readonly probes: readonly ProbeResult[];
  readonly budgets: readonly BudgetFacts[];
  /** Progress of a drain, in a word or two. */
  readonly drain: string;
}

export interface DebugSources {
  readonly inspect: Inspection;
  readonly terminating: StatusSources["terminating"];
}

export interface OverviewSources {
  readonly sources: DebugSources;
  readonly judge: { report(): Promise<ReadinessReport> };
  readonly probeResults: () => readonly ProbeResult[];
  readonly clock: Clock;
}

export async function readOverview({ sources, judge, probeResults, clock }: OverviewSources): Promise<Overview> {
  const { inspect, terminating } = sources;
  const [readiness, envoy] = await Promise.all([judge.report(), inspect.envoy?.()]);
  const cause = terminating();
  const [nowMs, certificates] = [clock.now(), inspect.certificates?.() ?? []];
  const [ca, controlPlane, xds] = [inspect.ca?.(), inspect.controlPlane?.(), inspect.xds?.()];
  return {
    version: inspect.version,
    nowMs,
    headline: headlineOf({ readiness, terminating: cause, ca, certificates, controlPlane, xds }),
    agent: inspect.agent?.(),
    envoy,
    node: inspect.workload?.(),
    ca,
    controlPlane,
    readiness,
    certificates,
    roots: inspect.roots?.() ?? [],
    xds,
    lastErrors: inspect.lastErrors?.() ?? [],
    probes: probeResults(),
    budgets: inspect.budgets?.() ?? [],
    drain: inspect.drain?.() ?? (cause === undefined ? "serving" : `shutting down: ${cause}`),
  };
}

/** For programs. Facts that had their time in milliseconds from the beginning have both forms. */
export function overviewJson(overview: Overview): unknown {
  const { nowMs, headline, agent, envoy, node, ca, controlPlane, readiness, lastErrors, ...rest } = overview;
  const budgets = overview.budgets.map(({ spec: { owner, unit, scope, whenSpent }, ...budget }) => {
    return { ...budget, owner, unit, scope, whenSpent };
  });
  return {
    version: overview.version,
    nowMs,
    now: new Date(nowMs).toISOString(),
    headline,
    ...withIsoTimes({ agent, envoy, node, ca, controlPlane }, "iso"),
    readiness: reportJson(readiness),
    ...withIsoTimes({ certificates: rest.certificates, roots: rest.roots, xds: rest.xds }, "both"),
    lastErrors: lastErrors.map((one) => withIsoTimes(one, "iso")),
    probes: rest.probes.map((one) => withIsoTimes(one, "both")),
    budgets,
    drain: rest.drain,
  };
}

/** Of a certificate: `notAfterMs`; of other facts: `sinceMs`, `atMs`, `startedAtMs`. Durations have other names. */
const timeName = /^(?:at|since|notBefore|notAfter|\w+At|\w+Since)Ms$/;

/** The last time that JavaScript's dates can have. */
const lastDateMs = 8.64e15;

/** Facts as JSON: each time as ISO 8601 under its name without the unit, and, with "both", also in milliseconds. */
export function withIsoTimes(value: object, forms: "iso" | "both"): Record<string, unknown> {
  const given = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(given.flatMap(([name, part]: [string, unknown]) => entriesOf(name, part, forms)));
}

function entriesOf(name: string, part: unknown, forms: "iso" | "both"): readonly (readonly [string, unknown])[] {
  if (typeof part === "number" && timeName.test(name) && Math.abs(part) <= lastDateMs) {
    const iso = [name.slice(0, -"Ms".length), new Date(part).toISOString()] as const;
    return forms === "iso" ? [iso] : [[name, part], iso];
  }
  return [[name, jsonOf(part, forms)]];
}

function jsonOf(part: unknown, forms: "iso" | "both"): unknown {
  if (Array.isArray(part)) return part.map((one: unknown) => jsonOf(one, forms));
  return typeof part === "object" && part !== null ? withIsoTimes(part, forms) : part;
}
