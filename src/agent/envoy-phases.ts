// SPDX-License-Identifier: Apache-2.0
import type { EnvoyReadiness } from "../model/envoy-readiness.ts";
import type { StartPhases } from "./start-phases.ts";

/** Notes, as Envoy is asked for its readiness, which steps of its start it has behind it; as late as it is asked. */
export function notingPhases<T extends { read(signal: AbortSignal): Promise<EnvoyReadiness> }>(
  envoy: T,
  phases: StartPhases,
): T {
  return {
    ...envoy,
    async read(signal) {
      const seen = await envoy.read(signal);
      if (seen.cdsUpdates > 0) phases.end("clusters accepted");
      if (seen.ldsUpdates > 0) phases.end("listeners accepted");
      if (seen.workersStarted === true) phases.end("workers started");
      return seen;
    },
  };
}
