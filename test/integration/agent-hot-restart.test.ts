// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod } from "../support/pod.ts";

const proxyConfig = { drainDuration: "1s" };

async function epoch(pod: Pod): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/server_info`);
  const info = (await answer.json()) as { state: string; command_line_options: { restart_epoch: number } };
  return info.state === "LIVE" ? info.command_line_options.restart_epoch : -1;
}

test("SIGHUP lets a new Envoy take over, with its certificate, and the agent stays ready", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, proxyConfig, env: { ATTACHE_HOT_RESTART: "true" } });
  await pod.untilReady();
  const [serial] = await pod.serials();
  expect(await epoch(pod)).toBe(0);
  pod.kill("SIGHUP");
  await eventually(
    async () => {
      expect(await epoch(pod)).toBe(1);
      expect(await pod.serials()).toContain(serial);
      expect(pod.log()).toContain("hot restart completed");
      // the agent's own socket is not taken for another's, which would make another bootstrap
      expect(pod.log()).not.toContain("has changed");
    },
    { withinMs: 10_000 },
  );
  expect((await pod.readiness()).status).toBe(200);
  const scrape = await fetch(`http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`);
  expect(await scrape.text()).toMatch(/^istio_agent_envoy_hot_restarts_total\{outcome="swapped"\} 1$/m);
  await eventually(
    () => {
      expect(pod.envoyPids()).toHaveLength(1);
    },
    { withinMs: 10_000 },
  );
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(pod.envoyPids()).toEqual([]);
});

test("SIGHUP takes up changed files; a configuration that is wrong leaves the running Envoy alone", async () => {
  await using ca = await startFakeCa();
  const meshFile = "etc/istio/config/mesh";
  const writeMesh = async (directory: string, text: string): Promise<void> => {
    await mkdir(join(directory, "etc/istio/config"), { recursive: true });
    await writeFile(join(directory, meshFile), text);
  };
  await using pod = await startPod({
    ca,
    proxyConfig,
    env: { ATTACHE_HOT_RESTART: "true" },
    prepare: ({ directory }) => writeMesh(directory, "defaultConfig: {serviceCluster: before}\n"),
  });
  await pod.untilReady();
  await writeMesh(pod.directory, "defaultConfig: [\n");
  pod.kill("SIGHUP");
  await eventually(
    () => {
      expect(pod.log()).toContain("hot restart failed; keeping the running Envoy");
    },
    { withinMs: 5_000 },
  );
  expect(await epoch(pod)).toBe(0);
  await writeMesh(pod.directory, "defaultConfig: {serviceCluster: after}\n");
  pod.kill("SIGHUP");
  await eventually(
    async () => {
      expect(await epoch(pod)).toBe(1);
    },
    { withinMs: 10_000 },
  );
  const bootstrap = await readFile(join(pod.directory, "etc/istio/proxy/envoy-rev.json"), "utf8");
  expect(bootstrap).toContain('"after"');
  await writeMesh(pod.directory, "defaultConfig: {serviceCluster: later}\n");
  await eventually(
    async () => {
      expect(await epoch(pod)).toBe(2);
    },
    { withinMs: 20_000 },
  );
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});

test("a changed mesh file gives the new Envoy other arguments; another admin port is refused", async () => {
  await using ca = await startFakeCa();
  const writeMesh = async (directory: string, text: string): Promise<void> => {
    await mkdir(join(directory, "etc/istio/config"), { recursive: true });
    await writeFile(join(directory, "etc/istio/config/mesh"), `defaultConfig: {${text}}\n`);
  };
  await using pod = await startPod({
    ca,
    env: { ATTACHE_HOT_RESTART: "true" },
    prepare: ({ directory }) => writeMesh(directory, "drainDuration: 1s"),
  });
  await pod.untilReady();
  await writeMesh(pod.directory, "drainDuration: 2s");
  pod.kill("SIGHUP");
  await eventually(async () => expect(await epoch(pod)).toBe(1), { withinMs: 10_000 });
  const answer = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/server_info`);
  expect(await answer.json()).toMatchObject({ command_line_options: { drain_time: "2s" } });
  await mkdir(join(pod.directory, "etc/istio/pod"), { recursive: true });
  await writeFile(
    join(pod.directory, "etc/istio/pod/annotations"),
    `status.sidecar.istio.io/port="${String(pod.ports.metrics + 1)}"\n`,
  );
  pod.kill("SIGHUP");
  await eventually(() => expect(pod.log()).toMatch(/hot restart not possible: .*\tfixed=\["statusPort"\]/), {
    withinMs: 5_000,
  });
  expect(await epoch(pod)).toBe(1);
  expect((await pod.readiness()).status).toBe(200);
});

test("SIGHUP changes nothing unless hot restart is on", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, proxyConfig });
  await pod.untilReady();
  const pids = pod.envoyPids();
  pod.kill("SIGHUP");
  await eventually(
    () => {
      expect(pod.log()).toContain("hot restart is disabled");
    },
    { withinMs: 5_000 },
  );
  expect(pod.envoyPids()).toEqual(pids);
  expect((await pod.readiness()).status).toBe(200);
});
