// SPDX-License-Identifier: Apache-2.0
import type { RouteContext } from "./call.ts";
import type { CertificateFacts, XdsFacts } from "./inspection.ts";
import type { ProbeResult } from "./probe-record.ts";
import type { ReadinessReport } from "./readiness-report.ts";

/** All that the status page shows, as it stands. */
export interface Overview {
  readonly version: string | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly readiness: ReadinessReport;
  readonly certificates: readonly CertificateFacts[];
  readonly xds: XdsFacts | undefined;
  readonly probes: readonly ProbeResult[];
  /** In a word or two. */
  readonly drain: string;
}

export async function readOverview({ sources, judge, probeRecord, clock }: RouteContext): Promise<Overview> {
  const { inspect = {}, terminating } = sources;
  const ending = terminating();
  return {
    version: inspect.version,
    nowMs: clock.now(),
    readiness: await judge.report(),
    certificates: inspect.certificates?.() ?? [],
    xds: inspect.xds?.(),
    probes: probeRecord.results(),
    drain: inspect.drain?.() ?? (ending === undefined ? "serving" : `ending: ${ending}`),
  };
}
