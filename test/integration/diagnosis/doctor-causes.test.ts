// SPDX-License-Identifier: Apache-2.0
// Beside a running agent, `attache doctor` reports exactly one failure for one fault: its cause, with a cure.
import { expect, test } from "vitest";
import { runDoctorIn } from "../../support/doctor-run.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { faultsOfTheCa, faultsOfTheConfiguration } from "./faults.ts";

/** Faults with which the agent runs, and the check that fails. */
const causes: Readonly<Record<string, string>> = {
  "no token": "token",
  "an expired token": "token",
  "a token for another audience": "ca.auth",
  "a token of another account": "token.account",
  "a CA that denies the permission": "ca.auth",
  "a CA whose name does not resolve": "ca.resolve",
  "a CA that does not listen": "ca.connect",
  "a CA that accepts connections and says nothing": "ca.tls",
  "a CA that does not respond to the request": "ca.auth",
  "a root that is another CA's": "ca.tls",
  "a clock that is behind": "readiness",
  "a clock that is ahead": "readiness",
  "a control plane whose name does not resolve": "control-plane.resolve",
  "a control plane that accepts connections and says nothing": "control-plane.auth",
  "a control plane that rejects the pod for lack of a token": "token",
  "a filter from the control plane that Envoy lacks": "envoy-admin.extension",
  "a filter in a file that Envoy lacks": "readiness",
  "a file that is not YAML": "readiness",
};

const faults = [...faultsOfTheCa, ...faultsOfTheConfiguration].filter(({ title }) => title in causes);

test.each(faults)("$title is one failure", async (fault) => {
  const { title, code } = fault;
  await using stack = new AsyncDisposableStack();
  const pod = stack.use(await startPod(await fault.plant(stack)));
  await eventually(async () => expect(await codesOf(pod)).toContain(code), { withinMs: 10_000 });
  const { findings } = await runDoctorIn(pod);
  const failed = findings.filter(({ outcome }) => outcome === "fail");
  expect(failed.map(({ check, fact }) => `${check}: ${fact}`)).toEqual([
    expect.stringMatching(`^${causes[title] ?? "?"}: `),
  ]);
  expect(failed[0]?.cure).not.toBe("");
  for (const { fact } of findings) expect(fact).not.toContain("not yet updated");
});

/** The codes in the tree of readiness of what has failed. */
async function codesOf({ ports }: Pod): Promise<readonly string[]> {
  const url = `http://127.0.0.1:${String(ports.status)}/healthz/ready`;
  const response = await fetch(url, { headers: { accept: "application/json" } });
  return [...(await response.text()).matchAll(/"code": ?"([a-z-]+)"/g)].map(([, code = ""]) => code);
}
