// SPDX-License-Identifier: Apache-2.0
import type { EnvoyAdmin } from "./admin-client.ts";

/** The path of one request must not be longer than Envoy's limit on headers. */
const loggersOfRequest = 100;

/** The level of each of Envoy's loggers, in Envoy's words. @throws EnvoyAdminError */
export async function readLogLevels(
  admin: Pick<EnvoyAdmin, "request">,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  return parseLogLevels(await admin.request("POST", "/logging", {}, signal));
}

/** Sets the level of each logger that is named. @throws EnvoyAdminError */
export async function setLogLevels(
  admin: Pick<EnvoyAdmin, "request">,
  levels: ReadonlyMap<string, string>,
  signal?: AbortSignal,
): Promise<void> {
  const pairs = [...levels].map(([logger, level]) => `${encodeURIComponent(logger)}:${encodeURIComponent(level)}`);
  for (let at = 0; at < pairs.length; at += loggersOfRequest) {
    await admin.request("POST", `/logging?paths=${pairs.slice(at, at + loggersOfRequest).join(",")}`, {}, signal);
  }
}

/**
 * Parses the response of `/logging`: a head, then a line `  logger: level` for each.
 * Source: observed with Envoy 1.40
 */
export function parseLogLevels(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/^ +(\S+): +([a-z]+)$/gm);
  return new Map(Array.from(pairs, ([, logger = "", level = ""]) => [logger, level]));
}
