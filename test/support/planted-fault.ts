// SPDX-License-Identifier: Apache-2.0
import { expect } from "vitest";
import { signJwt } from "../../src/lib/pki/jwt.ts";
import { type DoctorRunOptions, runDoctorIn } from "./doctor-run.ts";
import { type PodOptions, preparePod } from "./pod.ts";
import { newKey } from "./test-authority.ts";

/** The checks of identity and network. Others depend on the machine that runs the tests. */
const identityChecks: ReadonlySet<string> = new Set([
  ...["config", "agent", "readiness", "certificate", "identity", "token", "roots", "identity-files", "workload-api"],
  ...["ca", "control-plane", "dns", "clock"],
]);

/** A fault in a pod where no agent runs, and the findings that it leads to. */
export interface PlantedFault {
  readonly name: string;
  readonly pod: PodOptions;
  readonly run?: DoctorRunOptions;
  /** The beginning of `OUTCOME CHECK: FACT`, in the order of the checks; `…` stands for any text. */
  readonly expected: readonly string[];
  /** Checks of the machine that fail too, because of how the fault is planted. */
  readonly alsoFails?: readonly string[];
  /** Parts of the cures of the first ones. */
  readonly cures?: readonly string[];
}

/** Exactly the expected findings are not in order, and each says what to do. In the whole output nothing else fails. */
export async function expectFault({
  pod,
  run,
  expected,
  alsoFails = [],
  cures = [],
}: Omit<PlantedFault, "name">): Promise<void> {
  await using prepared = await preparePod(pod);
  const { code, findings, durationSeconds } = await runDoctorIn(prepared, run);
  const seen = findings.filter(({ check }) => identityChecks.has(check.split(".", 1)[0] ?? ""));
  const problems = seen
    .filter(({ outcome }) => outcome !== "ok")
    .map(({ outcome, check, fact }) => `${outcome} ${check}: ${fact}`)
    // The resolvers of the machine that runs the tests need not respond.
    .filter((text) => !text.startsWith("warn dns:") || expected.some((part) => isLike(text, part)));
  expect(problems.map((text, at) => (isLike(text, expected[at]) ? expected[at] : text))).toEqual(expected);
  const failed = findings.filter(({ outcome, check }) => outcome === "fail" && !alsoFails.includes(check));
  expect(failed.map(({ check }) => check)).toHaveLength(expected.filter((part) => part.startsWith("fail")).length);
  const given = seen.filter(({ outcome }) => outcome !== "ok").map(({ cure = "" }) => cure);
  for (const [index, cure] of cures.entries()) expect(given[index]).toContain(cure);
  for (const { outcome, cure } of seen) expect(outcome === "ok" ? "." : cure).toMatch(/\.$/);
  if (expected.some((text) => text.startsWith("fail"))) expect(code).toBe(1);
  expect(durationSeconds).toBeLessThan(5);
}

function isLike(text: string, expected: string | undefined): boolean {
  const [first = "?", ...others] = expected?.split("…") ?? [];
  let at = text.startsWith(first) ? first.length : -1;
  for (const part of others) at = at < 0 ? at : text.indexOf(part, at);
  return at >= 0;
}

export interface TokenFacts {
  readonly audiences?: readonly string[];
  readonly account?: string;
  readonly issuedMs?: number;
  readonly expiresMs?: number;
}

/** A token as the kubelet projects it, signed by nobody known. */
export function projectedToken({
  audiences = ["istio-ca"],
  account = "demo:web",
  issuedMs = Date.now() - 60_000,
  expiresMs = Date.now() + 3_600_000,
}: TokenFacts = {}): string {
  const [iat, exp] = [Math.floor(issuedMs / 1_000), Math.floor(expiresMs / 1_000)];
  return signJwt(newKey(), { aud: audiences, sub: `system:serviceaccount:${account}`, iat, nbf: iat, exp });
}
