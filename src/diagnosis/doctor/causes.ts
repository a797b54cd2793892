// SPDX-License-Identifier: Apache-2.0
import type { Finding } from "./check.ts";

/** What keeps the agent without a certificate. */
export const identityCauses: readonly string[] = [
  "config",
  "identity",
  "token",
  "token.account",
  "roots",
  "identity-files",
  "workload-api",
  "sockets.workload",
  "ca.resolve",
  "ca.connect",
  "ca.tls",
  "ca.auth",
  "clock",
  "dns",
];

/** What keeps the agent without a stream to the control plane. */
export const controlPlaneCauses: readonly string[] = [
  "config",
  "control-plane",
  "control-plane.resolve",
  "control-plane.connect",
  "control-plane.tls",
  "control-plane.auth",
  ...identityCauses.filter((name) => name !== "config"),
];

/** What Envoy refused, as Envoy itself says it. */
export const refusalCauses: readonly string[] = [
  "envoy-admin.extension",
  "envoy-admin.configuration",
  "envoy-admin.listeners",
];

/** What ends or holds Envoy as a process. A name that ends with a dot stands for all that begin so. */
export const envoyProcessCauses: readonly string[] = ["envoy-admin", "process.state", "envoy", "ports."];

/** Everything that Envoy's initialisation waits for. */
export const envoyCauses: readonly string[] = [
  ...envoyProcessCauses,
  ...identityCauses,
  ...controlPlaneCauses,
  ...refusalCauses,
  "sockets.sds",
  "sockets.xds",
];

/**
 * A failure that only waits for another one becomes a warning that names it, so that one cause is one failure. Where
 * none of the causes fails, it stays a failure.
 */
export function nameCauses(findings: readonly Finding[]): readonly Finding[] {
  const failed = findings.filter(({ outcome }) => outcome === "fail");
  return findings.map((finding) => {
    const cause = finding.outcome === "fail" ? causeOf(finding, failed) : undefined;
    return cause === undefined ? finding : consequenceOf(finding, cause);
  });
}

function consequenceOf({ check, fact, waitsFor }: Finding, cause: Finding): Finding {
  const cure = `This waits for what ${cause.check} reports; repair that first.`;
  return { check, outcome: "warn", fact, cure, ...(waitsFor === undefined ? {} : { waitsFor }) };
}

/** A cause of its own is named before one that waits too. */
function causeOf(finding: Finding, failed: readonly Finding[]): Finding | undefined {
  const named = (finding.waitsFor ?? []).flatMap((name) =>
    failed.filter((other) => other.check !== finding.check && isCalled(other, name)),
  );
  return named.find(({ waitsFor }) => waitsFor === undefined) ?? named[0];
}

function isCalled({ check }: Finding, name: string): boolean {
  return name.endsWith(".") ? check.startsWith(name) : check === name;
}
