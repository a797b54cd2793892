// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Check } from "../../../../src/diagnosis/doctor/check.ts";
import { agentCheck } from "../../../../src/diagnosis/doctor/checks/agent.ts";
import { certificateCheck } from "../../../../src/diagnosis/doctor/checks/certificate.ts";
import { readinessCheck } from "../../../../src/diagnosis/doctor/checks/readiness.ts";
import type { AgentCheck, RunningAgent } from "../../../../src/diagnosis/doctor/running-agent.ts";
import type { JsonObject } from "../../../../src/lib/json.ts";
import { doctorContext } from "../../../support/doctor-context.ts";

const minuteMs = 60_000;

function condition(facts: Partial<AgentCheck>): AgentCheck {
  return { name: "x", code: "", state: "passed", detail: "", children: [], ...facts };
}

function agentWith(facts: Partial<RunningAgent>): RunningAgent {
  return { address: { host: "localhost", port: 1 }, ready: true, checks: [], overview: undefined, ...facts };
}

async function lines(check: Check, agent: RunningAgent | undefined): Promise<readonly string[]> {
  const found = await check.run(doctorContext({ env: { CA_ROOT_CA: "SYSTEM" } }, { agent }));
  return found.map(({ outcome, fact }) => `${outcome} ${fact}`);
}

function certificate(beganMinutesAgo: number, minutesLeft: number, more: JsonObject = {}): RunningAgent {
  const nowMs = Date.now();
  const [notBeforeMs, notAfterMs] = [
    nowMs - beganMinutesAgo * minuteMs,
    nowMs + (minutesLeft + Math.sign(minutesLeft) / 120) * minuteMs,
  ];
  const certificates = [{ resourceName: "default", spiffeId: "spiffe://x/y", notBeforeMs, notAfterMs }];
  return agentWith({ overview: { certificates, ...more } });
}

const failing = { ca: { failuresInARow: 3, lastFailure: { reason: "connection refused" } } };
const subject = "the running agent's certificate of spiffe://x/y";

test.each([
  ["valid", certificate(10, 50), `ok ${subject} expires in 50 min`],
  [
    "renewal fails",
    certificate(10, 50, failing),
    `warn ${subject} expires in 50 min and is not renewed; the last 3 attempts failed: connection refused`,
  ],
  ["near its end", certificate(50, 10), `warn ${subject} expires in 10 min and was not renewed in time`],
  [
    "expired",
    certificate(60, -5, failing),
    `fail ${subject} expired 5 min ago; the last 3 attempts failed: connection refused`,
  ],
  [
    "none, and the CA fails",
    agentWith({ overview: { certificates: [], ca: { failuresInARow: 1, lastFailure: { reason: "refused" } } } }),
    "warn the running agent holds none; the last attempt failed: refused",
  ],
  ["none yet", agentWith({ overview: { certificates: [] } }), "warn the running agent holds none yet"],
])("the agent's certificate: %s", async (_name, agent, expected) => {
  expect(await lines(certificateCheck, agent)).toEqual([expected]);
});

test("a missing certificate that keeps the pod unready is reported by readiness", async () => {
  const checks = [condition({ name: "identity", code: "certificate", state: "failed", detail: "no certificate yet" })];
  const agent = agentWith({ ready: false, checks, overview: { certificates: [] } });
  expect(await lines(certificateCheck, agent)).toEqual([]);
  expect(await lines(readinessCheck, agent)).toEqual(["fail identity: no certificate yet"]);
});

test("an agent that does not say what it holds, or none, has no finding of its certificate", async () => {
  expect(await lines(certificateCheck, agentWith({}))).toEqual([]);
  expect(await lines(certificateCheck, undefined)).toEqual([]);
  expect(await lines(readinessCheck, undefined)).toEqual([]);
});

test("readiness names the innermost conditions; what does not count is a warning", async () => {
  const inner = condition({
    name: "clusters",
    code: "control-plane",
    state: "failed",
    detail: "no update was received",
  });
  const envoy = condition({ name: "envoy", state: "failed", children: [condition({}), inner] });
  const note = condition({ name: "xds", state: "not-counted", detail: "served from cache" });
  expect(await lines(readinessCheck, agentWith({ ready: false, checks: [envoy, note] }))).toEqual([
    "fail envoy, clusters: no update was received",
    "warn xds: served from cache",
  ]);
  expect(await lines(readinessCheck, agentWith({ checks: [condition({})] }))).toEqual([
    "ok every condition of the running agent passes",
  ]);
});

test("the agent is named, or why there is none", async () => {
  expect(await lines(agentCheck, agentWith({}))).toEqual(["ok runs at localhost:15020, ready"]);
  expect(await lines(agentCheck, agentWith({ ready: false }))).toEqual(["ok runs at localhost:15020, not ready"]);
  expect(await lines(agentCheck, undefined)).toEqual(["ok none runs: localhost:15020: connection refused"]);
  const exit = await agentCheck.run(doctorContext({}, { agentExit: "the agent exited with code 137 now: killed" }));
  expect(exit).toMatchObject([{ outcome: "fail", fact: "the agent exited with code 137 now: killed" }]);
  const late = await agentCheck.run(doctorContext({}, { isAgentLate: true, agentProblem: "no response within 1 s" }));
  expect(late).toMatchObject([{ outcome: "fail", fact: expect.stringMatching(/does not respond: no resp/) as string }]);
  const found = await agentCheck.run(doctorContext({}, { isAddressGiven: true }));
  expect(found).toMatchObject([{ outcome: "fail", fact: "none responds at localhost:15020: connection refused" }]);
});
