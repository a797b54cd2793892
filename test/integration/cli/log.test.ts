// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { loopback, requestHttp } from "../../../src/lib/net/http-client.ts";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";

let ca: FakeCa;
let pod: Pod;
beforeAll(async () => {
  ca = await startFakeCa();
  pod = await startPod({ ca, env: { ATTACHE_ENVOY_RESTARTS: "3" } });
  await pod.untilReady();
});
afterAll(async () => {
  await pod[Symbol.asyncDispose]();
  await ca[Symbol.asyncDispose]();
});

async function log(...args: readonly string[]): Promise<ProgramExit> {
  await using program = startProgram(["log", "--address", String(pod.ports.status), ...args]);
  return await program.exited;
}

/** As Envoy says itself. */
async function envoyLevels(): Promise<Readonly<Record<string, string>>> {
  const response = await requestHttp({ url: loopback(pod.ports.admin, "/logging"), method: "POST" });
  const found = response.text().matchAll(/^ +(\S+): (\S+)$/gm);
  return Object.fromEntries(Array.from(found, ([, name = "", level = ""]) => [name, level] as const));
}

async function agentLevels(): Promise<string> {
  return (await requestHttp({ url: loopback(pod.ports.status, "/debug/logging") })).text();
}

test("without a level, every scope and logger is listed", async () => {
  const { code, stdout } = await log();
  const lines = stdout.split("\n");
  expect([code, lines[0]]).toEqual([0, expect.stringMatching(/^SCOPE +LEVEL +RESET$/) as string]);
  expect(lines.filter((line) => /^sds +info +-$/.test(line))).toHaveLength(1);
  const own = Object.entries(await envoyLevels());
  expect(own.length).toBeGreaterThan(30);
  for (const [name, level] of own) expect(stdout).toMatch(new RegExp(`^envoy:${name} +${level} +-$`, "m"));
});

test("scopes of the agent are changed, and come back by themselves", async () => {
  const { code, stdout } = await log("debug", "sds", "citadelclient", "--for", "2s");
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^SCOPE.*\nca +debug +(in 1 s|now)\nsds +debug +(in 1 s|now)\n$/) as string,
  ]);
  expect(await agentLevels()).toContain("sds: debug (temporary)\n");
  await eventually(async () => expect(await agentLevels()).not.toContain("temporary"), { withinMs: 4_000 });
});

test("a logger of Envoy is changed, and gets back its own level", async () => {
  const before = await envoyLevels();
  const { code, stdout } = await log("trace", "envoy:http", "--for", "1s", "--json");
  expect(code).toBe(0);
  const { envoy } = JSON.parse(stdout) as {
    readonly envoy: readonly { readonly name: string; readonly resetAt?: string }[];
  };
  const http = envoy.find(({ name }) => name === "http");
  expect(http).toMatchObject({ level: "trace", changed: true });
  expect(Date.parse(http?.resetAt ?? "") - Date.now()).toBeLessThan(1_000);
  expect(await envoyLevels()).toEqual({ ...before, http: "trace" });
  await eventually(async () => expect(await envoyLevels()).toEqual(before), { withinMs: 4_000 });
});

test("all of Envoy's loggers are changed together, one of them again, and a reset undoes all", async () => {
  const before = await envoyLevels();
  expect((await log("debug", "envoy", "--for", "0")).stdout).toMatch(
    /^envoy +debug +at a restart\n(envoy:\S+ +debug +at a restart\n)+$/m,
  );
  expect((await log("error", "envoy:http")).stdout).toMatch(/^envoy:http +error +in (10 min|9 min 59 s)$/m);
  expect(new Set(Object.values(await envoyLevels()))).toEqual(new Set(["debug", "error"]));
  expect(await log("reset", "envoy")).toMatchObject({ code: 0, stdout: "Every level is the configured one.\n" });
  expect(await envoyLevels()).toEqual(before);
});

test.each([
  [["debgu"], '"debgu" is not a level (did you mean debug?)'],
  [["sds"], '"sds" is not a level; the levels are'],
  [["debug", "sdss"], 'unknown scope "sdss" (did you mean sds?)'],
  [["debug", "envoy:htpp"], 'unknown logger "htpp" of Envoy (did you mean envoy:http?)'],
  [["debug", "sds", "--for", "never"], "for must be a duration such as 5m"],
  [["--for", "1m"], "--for needs a level"],
])("%j is wrong usage, and changes nothing", async (args, message) => {
  expect(await log(...args)).toMatchObject({
    code: 64,
    stdout: "",
    stderr: expect.stringContaining(message) as string,
  });
  expect(await agentLevels()).not.toContain("temporary");
});

test("an Envoy that was restarted has the levels of its start, and no change is shown", async () => {
  const before = await envoyLevels();
  await log("debug", "envoy:http");
  for (const pid of pod.envoyPids()) process.kill(pid, "SIGKILL");
  await eventually(async () => expect((await log("--json")).stdout).toMatch(/"name": "http",\s+"level": "/), {
    withinMs: 10_000,
  });
  await pod.untilReady();
  expect((await log()).stdout).not.toMatch(/^envoy:http +debug/m);
  expect(await envoyLevels()).toEqual(before);
});
