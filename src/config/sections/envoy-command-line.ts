// SPDX-License-Identifier: Apache-2.0

export interface EnvoyCommandLine {
  readonly bootstrapPath: string;
  readonly drainSeconds: number;
  readonly localAddressVersion: "v4" | "v6";
  readonly fileFlushIntervalMs: number;
  /** 0 leaves Envoy's own. */
  readonly fileFlushMinSizeKb: number;
  readonly log: EnvoyLogLevels;
  readonly skipDeprecatedLogs: boolean;
  readonly coreDump: boolean;
  /** 0 or less: one worker for each hardware thread. */
  readonly concurrency: number;
}

export interface EnvoyLogLevels {
  /** Empty leaves Envoy's own. */
  readonly level: string;
  /** `component:level,…`; empty is none. */
  readonly components: string;
  /** Items that are neither a level nor a component's. */
  readonly dropped: readonly string[];
}

/**
 * Everything after Envoy's name.
 * Source: the command line of Istio's agent, in its order
 */
export function envoyArguments(line: EnvoyCommandLine): readonly string[] {
  return [
    "-c",
    line.bootstrapPath,
    "--drain-time-s",
    String(line.drainSeconds),
    "--drain-strategy",
    "immediate",
    "--local-address-ip-version",
    line.localAddressVersion,
    "--file-flush-interval-msec",
    String(line.fileFlushIntervalMs),
    "--disable-hot-restart",
    "--allow-unknown-static-fields",
    ...(line.fileFlushMinSizeKb > 0 ? ["--file-flush-min-size-kb", String(line.fileFlushMinSizeKb)] : []),
    ...(line.log.level === "" ? [] : ["-l", line.log.level]),
    ...(line.log.components === "" ? [] : ["--component-log-level", line.log.components]),
    ...(line.skipDeprecatedLogs ? ["--skip-deprecated-logs"] : []),
    ...(line.coreDump ? ["--enable-core-dump"] : []),
    ...(line.concurrency > 0 ? ["--concurrency", String(line.concurrency)] : []),
  ];
}

/**
 * Splits a log level that may hold component items: of several plain levels the last counts; the deprecated component
 * list is used only when there is no item of that kind.
 */
export function splitLogLevels(text: string, deprecatedComponents: string): EnvoyLogLevels {
  let level = "";
  const components: string[] = [];
  const dropped: string[] = [];
  for (const item of text.split(",")) {
    const colons = item.split(":").length - 1;
    if (colons === 0) level = item;
    else if (colons === 1) components.push(item);
    else dropped.push(item);
  }
  return { level, components: components.length > 0 ? components.join(",") : deprecatedComponents, dropped };
}
