// SPDX-License-Identifier: Apache-2.0
import { type Finding, ok, warn } from "../check.ts";

/** Older ones close their inbound listeners at once when they are drained. Source: Envoy's release notes; docs/operations.md */
const oldest: readonly [number, number] = [1, 37];
/** The one that attache is tested with. */
const tested: readonly [number, number] = [1, 40];

export const supportedVersions = `${oldest.join(".")} or later is supported, ${tested.join(".")} is tested`;

/** @param version `1.40.0`, `1.38.1-dev` */
export function judgeVersion(version: string): Finding {
  const check = "envoy.version";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
  if (isOld) return warn(check, `Envoy ${version} is too old: ${supportedVersions}`, "Install a newer Envoy.");
  return ok(check, `Envoy ${version} (${supportedVersions})`);
}
