// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type Check, fail, failUnless, ok, warn } from "../../../../src/diagnosis/doctor/check.ts";
import { checks } from "../../../../src/diagnosis/doctor/checks.ts";
import { configCheck } from "../../../../src/diagnosis/doctor/checks/config.ts";
import { describeVariable } from "../../../../src/config/known-variables.ts";
import { generalCure, splitCure } from "../../../../src/diagnosis/doctor/cure.ts";
import { hasEnvironment } from "../../../../src/diagnosis/doctor/environment.ts";
import { diagnosisJson, renderDiagnosis } from "../../../../src/diagnosis/doctor/render-doctor.ts";
import { limitTime, runChecks } from "../../../../src/diagnosis/doctor/run-checks.ts";
import { summarize } from "../../../../src/diagnosis/doctor/run-doctor.ts";
import { noPaint } from "../../../../src/lib/paint.ts";
import { untilAborted } from "../../../../src/lib/async/tasks.ts";
import { doctorContext } from "../../../support/doctor-context.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testInput } from "../../../support/parity-case.ts";

const never = new AbortController().signal;

function check(name: string, run: Check["run"]): Check {
  return { name, needsEnvironment: true, run };
}

test("findings are in the order of the checks, and what is wrong is printed first", async () => {
  const list = [
    check("a", () => Promise.resolve([ok("a.one", "fine"), warn("a.two", "odd\u001b[31m", "Look.")])),
    check("b", () => Promise.resolve([fail("b", "broken", "Repair it.")])),
  ];
  const diagnosis = summarize(await runChecks(list, doctorContext(), never), 12);
  expect(diagnosis.findings.map((finding) => finding.check)).toEqual(["a.one", "a.two", "b"]);
  expect(renderDiagnosis(diagnosis, { paint: noPaint, columns: undefined })).toBe(
    "[fail] b      broken\n              -> Repair it.\n" +
      "[warn] a.two  odd\\u001b[31m\n              -> Look.\n" +
      "[ok]   a.one  fine\n\n1 failed, 1 warning, 1 ok\n",
  );
  expect(diagnosisJson(diagnosis)).toMatchObject({
    ok: false,
    counts: { failed: 1, warnings: 1, ok: 1 },
    durationSeconds: 0.012,
  });
});

test("one cause is one failure: what waits for it is a warning that names it", () => {
  const waiting = failUnless(["readiness", "token"], "envoy-admin.state", "INITIALIZING", "Look.");
  const readiness = failUnless(["token"], "readiness", "no certificate yet", "See.");
  const token = fail("token", "absent", "Mount it.");
  const { findings, counts } = summarize([readiness, token, waiting], 1);
  expect(findings.map(({ outcome }) => outcome)).toEqual(["warn", "fail", "warn"]);
  expect(findings.map(({ cure }) => cure)).toEqual([
    "This waits for what token reports; repair that first.",
    "Mount it.",
    "This waits for what token reports; repair that first.",
  ]);
  expect(counts).toEqual({ failed: 1, warnings: 2, ok: 0 });
  expect(summarize([readiness, waiting], 1).findings.map(({ outcome }) => outcome)).toEqual(["fail", "warn"]);
  expect(summarize([waiting], 1).counts.failed).toBe(1);
});

test.each([40, 60, 100])("no line is wider than a terminal of %i columns", (columns) => {
  const long = "the token file ./var/run/secrets/tokens/istio-token does not exist in this container of the pod";
  const text = renderDiagnosis(summarize([fail("token", long, `Mount it there: ${long}.`), ok("ca.tls", long)], 1), {
    paint: noPaint,
    columns,
  });
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(columns);
  expect(text.replaceAll(/\s/g, "")).toContain(`Mount it there: ${long}.`.replaceAll(" ", ""));
});

test("a check that throws is a warning, and the others run", async () => {
  const list = [
    check("a", () => Promise.reject(new Error("no such thing"))),
    check("b", () => Promise.resolve([ok("b", "fine")])),
  ];
  const found = await runChecks(list, doctorContext(), never);
  expect(found.map(({ outcome, fact }) => [outcome, fact])).toEqual([
    ["warn", "the check itself failed: no such thing"],
    ["ok", "fine"],
  ]);
});

test("a check that waits has time to say for what; one that never ends is given up before 5 s", async () => {
  const clock = new FakeClock();
  using limits = limitTime(clock, never);
  const list = [
    check("waits", async ({ signal }) => {
      await untilAborted(signal);
      return [fail("waits", "no response", "Start it.")];
    }),
    check("hangs", () => new Promise(() => undefined)),
  ];
  const running = runChecks(list, doctorContext({}, { clock, signal: limits.waits }), limits.end);
  await clock.advance(4_500);
  expect((await running).map(({ fact }) => fact)).toEqual(["no response", "the check did not end within 4.2 s"]);
});

test("every problem of the configuration is a finding", async () => {
  const env = { CA_ROOT_CA: "SYSTEM", XDS_ROOT_CA: "SYSTEM", ECC_SIGNATURE_ALGORITHM: "x", ATTACHE_READINESS: "maybe" };
  const found = await configCheck.run(doctorContext({ env }));
  expect(found.map(({ outcome, fact }) => [outcome, fact])).toEqual([
    ["fail", expect.stringContaining('ECC_SIGNATURE_ALGORITHM: unknown algorithm "x"')],
    ["fail", 'ATTACHE_READINESS: unknown mode "maybe"'],
  ]);
});

test("the advice of a problem becomes the cure", () => {
  expect(splitCure("must be set; give it")).toEqual({ fact: "must be set", cure: "Give it." });
  expect(splitCure("must be above 0")).toEqual({ fact: "must be above 0", cure: undefined });
});

test("where a problem has no advice, the form of the variable is the cure", () => {
  expect(generalCure("ATTACHE_READINESS", describeVariable("ATTACHE_READINESS"))).toMatch(
    /^Correct ATTACHE_READINESS: it takes text, by default compatible: .*; attache explain shows its value and source\.$/,
  );
  expect(generalCure("CA_ADDR", describeVariable("NO_SUCH"))).toMatch(/^Correct CA_ADDR; attache explain shows/);
});

test("an agent's environment has its variables, its files or its arguments", () => {
  const files = new Map([["var/run/secrets/tokens/istio-token", "token"]]);
  expect(hasEnvironment(testInput({ env: { PATH: "/bin", HOME: "/root" } }))).toBe(false);
  expect(hasEnvironment(testInput({ env: { ISTIO_META_CLUSTER_ID: "" } }))).toBe(true);
  expect(hasEnvironment(testInput({ files }))).toBe(true);
  expect(hasEnvironment(testInput({ args: ["router"] }))).toBe(true);
});

test("names of checks are unique", () => {
  const names = checks.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});
