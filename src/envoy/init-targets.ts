// SPDX-License-Identifier: Apache-2.0
import type { EnvoyAdmin } from "./admin-client.ts";

/**
 * What Envoy waits for before it starts its workers, in its own words, such as `SdsApi default`; empty when it does not.
 * @throws EnvoyAdminError while the admin interface does not answer
 */
export async function readInitTargets(
  admin: Pick<EnvoyAdmin, "request">,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return parseInitTargets(await admin.request("GET", "/init_dump", {}, signal));
}

/** Source: envoy.admin.v3.UnreadyTargetsDumps; how targets are named was observed with Envoy 1.40 */
export function parseInitTargets(json: string): readonly string[] {
  const names = Array.from(json.matchAll(/"(?:shared )?target ((?:[^"\\]|\\.)*)"/g), (match) => match[1] ?? "");
  return [...new Set(names)];
}
