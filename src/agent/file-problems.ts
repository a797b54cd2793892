// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { EnvoyAdmin } from "../envoy/index.ts";
import { describeError, systemCode } from "../lib/errors.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import { yamlProblem } from "../lib/yaml-problem.ts";
import type { EnvoyReadiness } from "../model/envoy-readiness.ts";
import { listenerErrorsPath, readListenerErrors } from "../model/listener-errors.ts";
import { adviceOnMissingExtensions } from "../model/missing-extensions.ts";
import type { ModuleDeps } from "./types.ts";

/** Why Envoy has accepted nothing from the files that it reads. */
export interface FileProblems {
  explain(readiness: EnvoyReadiness, admin: EnvoyAdmin, signal: AbortSignal): Promise<EnvoyReadiness>;
  /** Envoy has accepted both. */
  works(): void;
}

/** Parsed at once: nothing is served yet, and larger files take longer than a probe waits. */
const mostParsedBytes = 256 * 1024;
/** Readiness is read a hundred times a second while somebody waits for it. */
const checkEveryMs = 500;

export function createFileProblems(directory: string, { log, clock }: Pick<ModuleDeps, "log" | "clock">): FileProblems {
  const outage = new OutageLog(log, clock, { recovered: "Envoy accepts its configuration files" });
  const checked = new Map<string, { readonly atMs: number; readonly problem: Promise<string | undefined> }>();
  const once = (file: string, check: () => Promise<string | undefined>): Promise<string | undefined> => {
    const nowMs = clock.monotonicMs();
    const last = checked.get(file);
    if (last !== undefined && nowMs - last.atMs < checkEveryMs) return last.problem;
    const problem = check().catch(() => undefined);
    checked.set(file, { atMs: nowMs, problem });
    return problem;
  };
  const problemOf = async (name: "cds.yaml" | "lds.yaml", rejected: number, admin: EnvoyAdmin, signal: AbortSignal) => {
    const file = join(directory, name);
    const check = rejected > 0 ? () => rejectionOf(name, admin, signal) : () => readProblem(file);
    const problem = await once(`${name} ${String(rejected > 0)}`, check);
    if (problem === undefined) return undefined;
    const message = "Envoy cannot use a configuration file";
    outage.failed({ level: "warn", message, kind: `${name} ${problem}`, fields: { file, problem } });
    return `${file}: ${problem}`;
  };
  return {
    async explain(readiness, admin, signal) {
      const { cdsUpdates, cdsRejected, cdsFailed = 0, ldsUpdates, ldsRejected, ldsFailed = 0 } = readiness;
      const hasClusters = cdsUpdates > 0 || cdsRejected + cdsFailed === 0;
      const hasListeners = ldsUpdates > 0 || ldsRejected + ldsFailed === 0;
      return {
        ...readiness,
        clustersProblem: hasClusters ? undefined : await problemOf("cds.yaml", cdsRejected, admin, signal),
        listenersProblem: hasListeners ? undefined : await problemOf("lds.yaml", ldsRejected, admin, signal),
      };
    },
    works() {
      outage.works();
    },
  };
}

/** What keeps Envoy from reading a file; undefined when its syntax is right. */
async function readProblem(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readTextFile(file, mostParsedBytes);
  } catch (error) {
    const isAbsent = systemCode(error) === "ENOENT";
    return isAbsent ? "there is no such file; create it (`resources: []` is enough)" : describeError(error);
  }
  const { parseDocument, isMap } = await import("yaml");
  const { checkYamlSize, mostResourceFileValues } = await import("../lib/yaml-size.ts");
  checkYamlSize(text, mostResourceFileValues);
  const { errors, contents } = parseDocument(text, { prettyErrors: true });
  const [error] = errors;
  if (error !== undefined) return `not YAML: ${yamlProblem(error)}; correct it there, Envoy reads it again at once`;
  if (!isMap(contents) || contents.get("resources") === undefined) return "it has no list `resources`; add one";
  return "Envoy could not read it; its line `Filesystem config update failure` in the log says why";
}

/** What Envoy rejected. It keeps the reasons for listeners; those for clusters are in its log alone. */
async function rejectionOf(name: string, admin: EnvoyAdmin, signal: AbortSignal): Promise<string | undefined> {
  const fallback = "Envoy rejected it; its line `Filesystem config update rejected` in the log says why";
  if (name !== "lds.yaml") return fallback;
  const [error] = readListenerErrors(await admin.request("GET", listenerErrorsPath, {}, signal));
  if (error === undefined) return fallback;
  const { what, reason } = error;
  return `${shortenPeerText(what)}: ${adviceOnMissingExtensions(reason, "file") ?? shortenPeerText(reason)}`;
}
