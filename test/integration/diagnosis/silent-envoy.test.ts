// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { watchProcessors } from "../../support/processor-waits.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";

async function run(pod: Pod, ...words: readonly string[]): Promise<ProgramExit> {
  await using program = startProgram(words, { PROXY_CONFIG: `statusPort: ${String(pod.ports.status)}` });
  return await program.exited;
}

function signalEnvoy(pod: Pod, signal: NodeJS.Signals): void {
  for (const pid of pod.envoyPids()) process.kill(pid, signal);
}

async function overview({ ports }: Pod): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${String(ports.status)}/debug/overview`);
  const { headline } = (await response.json()) as { headline: { sentence: string } };
  return headline.sentence;
}

test("an Envoy that is stopped in a ready pod: each command says that Envoy does not respond, and the agent does", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  expect(await overview(pod)).toBe("The pod is ready.");
  signalEnvoy(pod, "SIGSTOP");
  using processors = watchProcessors(() => [pod.pid, process.pid]);
  const startMs = Date.now();
  const sentences = await Promise.all([overview(pod), overview(pod)]);
  const endMs = Date.now();
  expect(endMs - startMs - processors.waitedMs(startMs, endMs)).toBeLessThan(500);
  expect(new Set(sentences)).toEqual(new Set(["The pod is ready, but Envoy does not respond."]));
  expect((await pod.readiness()).status).toBe(200);

  const status = await run(pod, "status");
  expect(status.code).toBe(1);
  expect(status.stdout).toMatch(/^READY: The pod is ready, but Envoy does not respond\.\n-> Envoy is stopped/);
  const url = `http://127.0.0.1:${String(pod.ports.readiness)}/healthz/ready`;
  const wait = await run(pod, "wait", "--url", url, "--timeoutSeconds", "2");
  expect(wait.code).toBe(1);
  expect(wait.stderr).toMatch(/the agent is ready, but the address is not: no response within 500 ms/);
  expect(wait.stdout + wait.stderr).not.toMatch(/has exited|missing agent/);
  expect(pod.log().match(/Envoy's admin interface does not respond/g)).toHaveLength(1);

  signalEnvoy(pod, "SIGCONT");
  await eventually(async () => expect(await overview(pod)).toBe("The pod is ready."), { withinMs: 5_000 });
  expect(pod.log()).toContain("Envoy's admin interface responds again");
  expect((await run(pod, "status")).code).toBe(0);
});

test("an agent that is stopped is not said to be absent", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  pod.kill("SIGSTOP");
  const [status, wait, doctor] = await Promise.all([
    run(pod, "status"),
    run(pod, "wait", "--timeoutSeconds", "2"),
    run(pod, "doctor"),
  ]);
  pod.kill("SIGCONT");
  expect(status).toMatchObject({ code: 1, stdout: expect.stringMatching(/^NO RESPONSE: What listens at /) as string });
  expect(wait.stderr).toMatch(/accepts connections, but no response within \d+ ms: it is stopped or overloaded/);
  expect(wait.stderr).not.toMatch(/has exited/);
  expect(doctor.code).toBe(1);
  expect(doctor.stdout).toMatch(/^\[fail\] process\.state +the agent \(process \d+\) is stopped by a signal/m);
  expect(doctor.stdout).toMatch(/^\[warn\] agent +what listens at \S+ does not respond: no response within/m);
});
