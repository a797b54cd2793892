// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { EnvoyAdmin } from "../envoy/index.ts";
import type { EnvoyReadiness } from "../model/envoy-readiness.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { FileProblems } from "./file-problems.ts";
import type { ModuleDeps } from "./types.ts";

/**
 * Adds to what Envoy says of its readiness why it has accepted no clusters, or no listeners: Envoy has the counts alone.
 * Costs nothing once it has accepted both.
 */
export type UpdateProblems = (
  readiness: EnvoyReadiness,
  admin: EnvoyAdmin,
  signal: AbortSignal,
) => EnvoyReadiness | Promise<EnvoyReadiness>;

export interface UpdateProblemsOptions {
  readonly config: Pick<AgentConfig, "xds">;
  /** Undefined where Envoy reads files. */
  readonly xds: Pick<XdsProxy, "problemOf"> | undefined;
}

export function createUpdateProblems({ config, xds }: UpdateProblemsOptions, deps: ModuleDeps): UpdateProblems {
  let files: Promise<FileProblems> | undefined;
  return async (readiness, admin, signal) => {
    if (readiness.cdsUpdates > 0 && readiness.ldsUpdates > 0) {
      (await files)?.works();
      return readiness;
    }
    if (xds !== undefined) {
      const [clustersProblem, listenersProblem] = [xds.problemOf("cluster"), xds.problemOf("listener")];
      // a failure is one of the stream, which the agent ends
      return { ...readiness, clustersProblem, listenersProblem, cdsFailed: 0, ldsFailed: 0 };
    }
    const { cdsRejected, cdsFailed = 0, ldsRejected, ldsFailed = 0 } = readiness;
    if (config.xds.kind !== "files" || cdsRejected + cdsFailed + ldsRejected + ldsFailed === 0) return readiness;
    const { directory } = config.xds;
    files ??= import("./file-problems.ts").then((module) => module.createFileProblems(directory, deps));
    return await (await files).explain(readiness, admin, signal);
  };
}
