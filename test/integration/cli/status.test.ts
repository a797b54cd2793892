// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { listening } from "../../support/listening.ts";
import { startPod } from "../../support/pod.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";
import { clusterResource } from "../../support/xds-resources.ts";

async function status(port: number, ...args: readonly string[]): Promise<ProgramExit> {
  await using program = startProgram(["status", "--address", String(port), ...args]);
  return await program.exited;
}

test("a ready pod, in text, JSON and YAML", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const { code, stdout, stderr } = await status(pod.ports.status);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^READY\n\nPod {12}pod-1\.demo, service account web\n/);
  expect(stdout).toMatch(/^Envoy {10}1\.\d+\.\d+, LIVE, up \d+ s, no restarts$/m);
  expect(stdout).toMatch(/^CA {13}localhost:\d+ \(istio\), last certificate (now|\d+ s ago)$/m);
  expect(stdout).toMatch(/^ {15}valid for 59 min \d+ s, next renewal in \d+ min( \d+ s)?$/m);
  expect(JSON.parse((await status(pod.ports.status, "--json")).stdout)).toMatchObject({
    ready: true,
    state: "ready",
    pod: { name: "pod-1", namespace: "demo", serviceAccount: "web" },
    certificates: [{ spiffeId: "spiffe://cluster.local/ns/demo/sa/web" }],
  });
  expect((await status(pod.ports.status, "-o", "yaml")).stdout).toMatch(/^ready: true\nstate: ready\n/);
});

test("a pod without a certificate names the cause first, and ends with 1", async () => {
  await using ca = await startFakeCa();
  ca.set({ kind: "refuse", status: "UNAUTHENTICATED" });
  await using pod = await startPod({ ca, env: { ATTACHE_READINESS: "strict" } });
  const cause = /^NOT READY: [^-]*certificate[^-]*rejected[^-]*UNAUTHENTICATED/;
  await eventually(async () => expect((await status(pod.ports.status)).stdout).toMatch(cause), { withinMs: 10_000 });
  const { code, stdout } = await status(pod.ports.status);
  expect([code, stdout]).toEqual([1, expect.stringMatching(/^-> `attache doctor` in this container/m) as string]);
});

test("xDS types are SYNCED and NACKED with versions, and the reason of a rejection", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1")]);
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  const proxyConfig = { discoveryAddress, controlPlaneAuthPolicy: "NONE" };
  await using pod = await startPod({ ca, proxyConfig, env: { ATTACHE_XDS_FILES: "" } });
  await pod.untilReady();
  expect((await status(pod.ports.status)).stdout).toMatch(/^CDS +SYNCED +\d+ +1 +(now|\d+ s ago)$/m);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1"), clusterResource("bad", "1", true)]);
  await eventually(async () => expect((await status(pod.ports.status)).stdout).toMatch(/^CDS +NACKED/m), {
    withinMs: 5_000,
  });
  const { code, stdout } = await status(pod.ports.status);
  expect(stdout).toMatch(/^READY: The pod is ready, but Envoy rejects clusters \(CDS\): /);
  expect(stdout).toMatch(/^CDS: version \d+ was rejected (now|\d+ s ago) \(bad\); version \d+ stays in use: /m);
  expect(code).toBe(0);
});

test("without an agent it says so, and ends with 1", async () => {
  const [port = 0] = await freePorts(1);
  const { code, stdout } = await status(port);
  expect([code, stdout]).toEqual([1, expect.stringMatching(/^NO AGENT: No agent responded at localhost:/) as string]);
  expect(await status(port, "--json")).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/"state": "no-agent"/) as string,
  });
});

test("where the debug endpoints are closed, readiness is shown", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, args: ["--profiling=false"] });
  await pod.untilReady();
  expect(await status(pod.ports.status)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^READY\n-> Only readiness is shown: /) as string,
  });
});

const blocks = (output: string): readonly string[] =>
  output
    .split(/^# /m)
    .slice(1)
    .map((block) => block.split("\n")[1] ?? "");

test("a watch on a pipe writes what has changed, survives the agent, and ends with 0 at Ctrl-C", async () => {
  await using ca = await startFakeCa();
  const [port = 0] = await freePorts(1);
  await using watch = startProgram(["status", "--watch", "--address", String(port)]);
  const untilBlocks = (...firsts: readonly RegExp[]) =>
    eventually(
      () => {
        const found = blocks(watch.output().stdout);
        expect(found).toHaveLength(firsts.length);
        for (const [index, first] of firsts.entries()) expect(found[index]).toMatch(first);
      },
      { withinMs: 15_000 },
    );
  await untilBlocks(/^NO AGENT/);
  {
    await using _pod = await startPod({ ca, proxyConfig: { statusPort: port } });
    await eventually(() => expect(blocks(watch.output().stdout).at(-1)).toBe("READY"), { withinMs: 15_000 });
  }
  await eventually(() => expect(blocks(watch.output().stdout).at(-1)).toMatch(/^NO AGENT/), { withinMs: 5_000 });
  watch.kill("SIGINT");
  expect(await watch.exited).toMatchObject({ code: 0, stderr: "" });
});

test("a watch on a pipe writes nothing while only time passes", async () => {
  let [asked, sentence] = [0, "The pod is ready."];
  const server = createServer((_request, response) => {
    asked++;
    const readiness = { ready: true, checks: [] };
    response.end(JSON.stringify({ now: new Date().toISOString(), headline: { state: "ready", sentence }, readiness }));
  });
  await using agent = await listening(server);
  await using watch = startProgram(["status", "--watch", "--address", String(agent.port)]);
  await eventually(() => expect(asked).toBeGreaterThanOrEqual(3), { withinMs: 10_000 });
  expect(blocks(watch.output().stdout)).toEqual(["READY"]);
  sentence = "The pod is ready, but.";
  await eventually(() => expect(blocks(watch.output().stdout)).toHaveLength(2), { withinMs: 5_000 });
  watch.kill("SIGTERM");
  expect(await watch.exited).toMatchObject({ code: 0, stderr: "" });
});

test("a watch ends when its reader is gone", async () => {
  const program = join(import.meta.dirname, "../../../bin/attache");
  const [port = 0] = await freePorts(1);
  await using ca = await startFakeCa();
  const child = spawn("bash", ["-c", `${program} status --watch --address ${String(port)} | head -n 1`], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env["PATH"] },
  });
  await once(child.stdout, "data");
  // The next change is written to a pipe that nobody reads.
  await using _pod = await startPod({ ca, proxyConfig: { statusPort: port } });
  expect(await once(child, "close")).toEqual([0, null]);
});

const hasTerminals = spawnSync("script", ["--version"]).status === 0;

test.runIf(hasTerminals)("a watch on a terminal redraws it, with colour unless that is not wanted", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const draw = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const program = join(import.meta.dirname, "../../../bin/attache");
    const line = `timeout --foreground -s INT 3 ${program} status --watch --address ${String(pod.ports.status)}`;
    const child = spawn("script", ["-qec", line, "/dev/null"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"], TERM: "xterm", ...env },
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    await once(child, "close");
    return output;
  };
  const [coloured, plain] = await Promise.all([draw({}), draw({ NO_COLOR: "1" })]);
  expect(plain.match(/\u001B\[H/g)?.length).toBeGreaterThanOrEqual(2);
  expect(plain.match(/\u001B\[H/g)?.length).toBeLessThanOrEqual(4);
  expect(coloured).toContain("\u001B[H\u001B[32mREADY\u001B[0m");
  expect(plain).toContain("\u001B[HREADY");
});
