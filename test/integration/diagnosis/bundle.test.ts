// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Manifest } from "../../../src/diagnosis/bundle/manifest.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { type BundlePlace, runBundleCommand, unpackBundle } from "../../support/bundle.ts";
import { Canaries } from "../../support/canaries.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { plantedEnvironment } from "../../support/planted-secrets.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** Runs `attache bundle --file -` and unpacks what it writes. */
async function takeBundle(place: BundlePlace, ...args: readonly string[]) {
  await using work = await temporaryDirectory();
  const run = await runBundleCommand(place, "--file", "-", ...args);
  expect(run.code, run.stderr).toBe(0);
  return { ...run, ...unpackBundle(run.stdout, work.path) };
}

function statusOf({ parts }: Manifest, file: string): string | undefined {
  return parts.find((part) => part.file === file)?.status;
}

async function startReadyPod(): Promise<{ readonly pod: Pod } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const pod = stack.use(await startPod({ ca }));
  await pod.untilReady();
  const owned = stack.move();
  return { pod, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("a bundle has what agent, Envoy and machine say, each in a file that can be read", async () => {
  await using started = await startReadyPod();
  const { pod } = started;
  const { files, manifest, json, text, listing, stderr } = await takeBundle(pod);
  expect(manifest.agent.responded).toBe(true);
  for (const [file, bytes] of files) {
    if (file.endsWith(".json")) expect(() => JSON.parse(bytes.toString()) as unknown, file).not.toThrow();
  }
  const names =
    "configuration.json environment.json doctor.json agent/readiness.json agent/overview.json agent/node.json agent/certificates.json agent/metrics.txt agent/events.json envoy/config_dump.json envoy/clusters.json envoy/stats.txt envoy/certs.json envoy/server_info.json envoy/listeners.json envoy/memory.json envoy/bootstrap.json machine/limits.txt machine/versions.json machine/processes.json machine/network.json";
  for (const name of names.split(" ")) expect(statusOf(manifest, name), name).toBe("complete");
  expect(json("agent/readiness.json")).toMatchObject({ ready: true });
  expect(json("envoy/server_info.json")).toMatchObject({ state: "LIVE" });
  expect(text("envoy/stats.txt")).toMatch(/^server\.live: 1$/m);
  expect(text("agent/metrics.txt")).toContain("istio_agent_");
  expect(text("agent/events.json")).toContain("certificate issued");
  expect(text("environment.json")).toContain('"POD_NAME": "pod-1"');
  expect(text("machine/network.json")).toContain(`:${String(pod.ports.status)}`);
  expect(text("README.txt")).toContain("Before you share it");
  for (const line of listing.trim().split("\n")) expect(line).toMatch(/^-rw------- /);
  expect(stderr).toContain("The archive is on standard output");
  // as Envoy has it, apart from the secrets
  const dump = json("envoy/config_dump.json") as { configs: { "@type": string }[] };
  expect(dump.configs.length).toBeGreaterThanOrEqual(5);
}, 60_000);

test("without an agent a bundle has the configuration and the machine, and says that no agent responded", async () => {
  await using work = await temporaryDirectory();
  const canaries = new Canaries();
  const env = {
    ...plantedEnvironment(canaries),
    POD_NAME: "web-0",
    PROXY_CONFIG: `tracing:\n  lightstep:\n    address: a:1\n    accessToken: ${canaries.plant("lightstep")}\nstatusPort: 1\nproxyAdminPort: 2\n`,
  };
  const { files, manifest, stderr, text } = await takeBundle({ directory: work.path, env });
  expect(manifest.agent.responded).toBe(false);
  expect(stderr).toContain("No agent responded");
  expect(statusOf(manifest, "agent/node.json")).toBe("failed");
  expect(statusOf(manifest, "envoy/config_dump.json")).toBe("skipped");
  expect(text("configuration.json")).toContain("lightstep");
  expect(statusOf(manifest, "machine/limits.txt")).toBe("complete");
  expect(canaries.findIn(files)).toEqual([]);
}, 60_000);

test("a configuration that the agent does not start with is in the bundle, with its problems", async () => {
  await using work = await temporaryDirectory();
  const { text } = await takeBundle({ directory: work.path, env: { PROXY_CONFIG: "{", CA_ADDR: "no port" } });
  expect(text("configuration.json")).toContain('"problems"');
}, 60_000);

test("an Envoy that hangs costs a few seconds, and the rest is complete", async () => {
  await using started = await startReadyPod();
  const { pod } = started;
  const [envoy = 0] = pod.envoyPids();
  process.kill(envoy, "SIGSTOP");
  try {
    const { manifest, durationMs } = await takeBundle(pod);
    expect(durationMs).toBeLessThan(20_000);
    expect(statusOf(manifest, "envoy/server_info.json")).toBe("failed");
    const info = manifest.parts.find(({ file }) => file === "envoy/server_info.json");
    expect(info?.reason).toMatch(/not complete within|no response within/);
    expect(statusOf(manifest, "envoy/config_dump.json")).toBe("skipped");
    expect(statusOf(manifest, "agent/overview.json")).toBe("complete");
    expect(statusOf(manifest, "machine/network.json")).toBe("complete");
  } finally {
    process.kill(envoy, "SIGCONT");
  }
}, 60_000);

test("with --address everything comes through the agent, and nothing of this machine", async () => {
  await using started = await startReadyPod();
  const { pod } = started;
  await using work = await temporaryDirectory();
  const { manifest, files } = await takeBundle(
    { directory: work.path },
    "--address",
    `127.0.0.1:${String(pod.ports.status)}`,
  );
  expect(statusOf(manifest, "envoy/config_dump.json")).toBe("complete");
  expect(statusOf(manifest, "agent/overview.json")).toBe("complete");
  expect([...files.keys()].filter((file) => file.startsWith("machine/") || file === "environment.json")).toEqual([]);
}, 60_000);

test("the size limit holds, and what is cut is still JSON", async () => {
  await using started = await startReadyPod();
  const { manifest, files, json } = await takeBundle(started.pod, "--max-size", "64KiB");
  const parts = [...files].filter(([file]) => file !== "README.txt" && file !== "MANIFEST.json");
  expect(parts.reduce((sum, [, bytes]) => sum + bytes.length, 0)).toBeLessThanOrEqual(64 * 1024);
  const cut = manifest.parts.filter(({ status }) => status === "cut");
  expect(cut.length).toBeGreaterThan(0);
  for (const { file } of cut)
    if (files.has(file) && file.endsWith(".json")) expect(() => json(file), file).not.toThrow();
}, 60_000);

test.each([
  ["of other users", "/", ["setpriv", "--reuid=65534", "--clear-groups"]],
  ["of the kernel", "/sys", []],
])(
  "a directory %s that cannot be written to is an error at once, which names another way",
  async (_, directory, launcher) => {
    // root may write everywhere
    const isRoot = process.getuid?.() === 0;
    const run = await runBundleCommand({ directory, launcher: isRoot ? launcher : [] });
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(
      /^Error: write .*: (this user may not write to|the file system of) .*; write to standard output: --file - > bundle\.tar\.gz, or .*--file \/\S+\/bundle\.tar\.gz/,
    );
    expect(run.durationMs).toBeLessThan(5_000);
  },
  60_000,
);

test("a file that is there is replaced, and nothing else is left behind", async () => {
  await using work = await temporaryDirectory();
  const file = join(work.path, "bundle.tar.gz");
  const first = await runBundleCommand({ directory: work.path }, "--file", file, "-o", "json");
  expect(first.code, first.stderr).toBe(0);
  const result = JSON.parse(first.stdout.toString()) as { file: string; bytes: number };
  expect(result).toMatchObject({ file, bytes: readFileSync(file).length });
  const again = await runBundleCommand({ directory: work.path }, "--file", file);
  expect(again.code, again.stderr).toBe(0);
  expect(again.stdout.toString()).toMatch(/^Wrote .*bundle\.tar\.gz: /);
  expect(readdirSync(work.path)).toEqual(["bundle.tar.gz"]);
}, 60_000);

test("a command that is stopped leaves no file behind", async () => {
  await using started = await startReadyPod();
  const { pod } = started;
  await using work = await temporaryDirectory();
  const [envoy = 0] = pod.envoyPids();
  // so that it takes a while
  process.kill(envoy, "SIGSTOP");
  try {
    const place = {
      directory: work.path,
      env: pod.env,
      launcher: ["timeout", "--signal=INT", "--preserve-status", "2"],
    };
    const run = await runBundleCommand(place);
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toMatch(/^Error: no archive was written: received SIGINT/m);
    expect(readdirSync(work.path)).toEqual([]);
  } finally {
    process.kill(envoy, "SIGCONT");
  }
}, 60_000);

test("in a terminal without the agent's variables, it is about the agent that runs there", async () => {
  await using started = await startReadyPod();
  const { pod } = started;
  await using work = await temporaryDirectory();
  const env = { PROXY_CONFIG: JSON.stringify({ statusPort: pod.ports.status }) };
  const { json, text } = await takeBundle({ directory: work.path, env });
  expect(text("environment.json")).toContain('"POD_NAME": "pod-1"');
  expect(json("doctor.json")).toMatchObject({ ok: true, counts: { failed: 0 } });
  const run = await runBundleCommand({ directory: work.path, env }, "--file", "here.tar.gz");
  expect(run.code, run.stderr).toBe(0);
  expect(readdirSync(work.path)).toEqual(["here.tar.gz"]);
}, 60_000);
