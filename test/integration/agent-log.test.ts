// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { dnsEnvironment } from "../support/dns-environment.ts";
import { eventually } from "../support/eventually.ts";
import { kubernetes, nameTableResource } from "../support/name-tables.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { runProgram } from "../support/run-program.ts";

type LogLine = { readonly level: string; readonly time: string; readonly msg: string } & Record<string, unknown>;

/** Every line of an output, each a JSON object in the form of the log. */
function parseLines(text: string): readonly LogLine[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const parsed = JSON.parse(line) as LogLine;
      expect(parsed, line).toMatchObject({ level: expect.any(String) as string, msg: expect.any(String) as string });
      expect(Date.parse(parsed.time), line).toBeGreaterThan(0);
      return parsed;
    });
}

const envoyLevels = ["trace", "debug", "info", "warning", "error", "critical"];

async function untilLogged(pod: Pod, text: string): Promise<void> {
  await eventually(() => expect(pod.log()).toContain(text), { withinMs: 5_000 });
}

test("a normal start writes at most six info lines, and one for DNS, and no warning, the last one with the time to readiness", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  for (const typeUrl of [typeUrls.listener, typeUrls.cluster]) controlPlane.set(typeUrl, []);
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.1"])])]);
  const discoveryAddress = `localhost:${String(controlPlane.port)}`;
  await using pod = await startPod({
    ca,
    proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", ATTACHE_READINESS: "strict", ...(await dnsEnvironment()) },
    args: ["--log_as_json"],
  });
  await pod.untilReady();
  await untilLogged(pod, '"msg":"ready in ');
  const lines = parseLines(pod.log());
  const agentLines = lines.filter(({ scope }) => typeof scope !== "string" || !scope.startsWith("envoy "));
  const infoLines = agentLines.filter(({ level }) => level === "info");
  // the fake control plane has no TLS, which an operator would have to change
  expect(agentLines.filter(({ level }) => level !== "info").map(({ msg }) => msg)).toEqual([
    "token is sent to the control plane unencrypted",
  ]);
  expect(infoLines.length, pod.log()).toBeLessThanOrEqual(7);
  expect(infoLines.find(({ msg }) => msg === "agent started")).toMatchObject({
    configSource: discoveryAddress,
    certificates: `istio localhost:${String(ca.port)}`,
  });
  expect(infoLines.at(-1)).toMatchObject({
    msg: expect.stringMatching(/^ready in \d+\.\d\d s$/) as string,
    envoyVersion: expect.stringMatching(/^1\.\d+\.\d+/) as string,
    envoyStartedMs: expect.any(Number) as number,
    sdsServedMs: expect.any(Number) as number,
    certificateReceivedMs: expect.any(Number) as number,
  });
});

test("with --log_as_json every line of a run is JSON, with the same words for levels from agent and Envoy", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, args: ["--log_as_json", "--log_output_level=default:debug"] });
  await pod.untilReady();
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  const lines = parseLines(pod.log());
  expect(lines.length).toBeGreaterThan(10);
  for (const { level } of lines) expect(envoyLevels).toContain(level);
});

test("with --log_as_json every line of a failed start is JSON: an invalid configuration", async () => {
  const attache = join(import.meta.dirname, "../../bin/attache");
  const wrong = { ISTIO_META_CLUSTER_ID: "c1", ECC_SIGNATURE_ALGORITHM: "x", PROXY_CONFIG: "[" };
  // a variable of the tests, which the agent would warn of
  const env = { ...wrong, ATTACHE_TEST_PORTS: undefined };
  const args = ["proxy", "gateway", "--log_as_json"];
  const { code, stdout, stderr } = await runProgram(attache, args, { env });
  expect(code).toBe(64);
  expect(stdout).toBe("");
  const lines = parseLines(stderr);
  expect(lines.length).toBeGreaterThan(1);
  for (const line of lines) {
    expect(line).toMatchObject({ level: "error", errorCode: "AGENT_CONFIG", exitCode: 64 });
    expect(line.msg).toMatch(/^configuration: /);
  }
});

test("with --log_as_json every line of a failed start is JSON: an Envoy that is not there", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, args: ["--log_as_json"], proxyConfig: { binaryPath: "./nowhere" } });
  expect(await pod.exited).toEqual({ code: 69, signal: null });
  expect(parseLines(pod.log()).at(-1)).toMatchObject({ level: "error", errorCode: "AGENT_ENVOY_MISSING" });
});
