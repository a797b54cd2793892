// SPDX-License-Identifier: Apache-2.0
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { loopback, requestHttp } from "../../src/lib/net/http-client.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";

/** Has the pod's listener serve plain HTTP, and log each request to `access.log` in the pod's directory. */
const logRequests: PodOptions["prepare"] = ({ directory }) => {
  const path = join(directory, "resources/lds.yaml");
  const typeUrl = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
  const file = join(directory, "access.log");
  const accessLog = `[{name: file, typed_config: {"@type": ${typeUrl}, path: ${file}}}]`;
  const text = readFileSync(path, "utf8")
    .replace(/transport_socket:[^]*?(?=filters:)/, "")
    .replace("stat_prefix: inbound", `stat_prefix: inbound\n              access_log: ${accessLog}`);
  writeFileSync(path, text);
};

/** Each on a connection of its own, so that the newest Envoy serves it. */
async function get({ ports }: Pod, path: string): Promise<void> {
  expect((await requestHttp({ url: loopback(ports.inbound, path) })).status).toBe(200);
}

async function untilContains(path: string, text: string): Promise<void> {
  await eventually(() => expect(existsSync(path) ? readFileSync(path, "utf8") : "").toContain(text), {
    withinMs: 5_000,
  });
}

/** What a process has open, by path. */
function openPaths(pid: number): readonly string[] {
  const folder = `/proc/${String(pid)}/fd`;
  return readdirSync(folder).map((name) => {
    try {
      return readlinkSync(join(folder, name));
    } catch {
      return "";
    }
  });
}

const proxyConfig = { fileFlushInterval: "0.1s" };

test("22: SIGUSR1 reopens the agent's log files and Envoy's, after logrotate has renamed them", async () => {
  await using ca = await startFakeCa();
  const args = ["--log_target", "agent.log", "--log_target", "second.log"];
  await using pod = await startPod({ ca, args, proxyConfig, prepare: logRequests });
  await pod.untilReady();
  const file = (name: string): string => join(pod.directory, name);
  await get(pod, "/before");
  await untilContains(file("access.log"), "/before");
  for (const name of ["agent.log", "second.log", "access.log"]) renameSync(file(name), file(`${name}.1`));
  pod.kill("SIGUSR1");
  for (const name of ["agent.log", "second.log"]) await untilContains(file(name), "SIGUSR1: reopening log files");
  await eventually(() => expect(existsSync(file("access.log"))).toBe(true), { withinMs: 5_000 });
  await get(pod, "/after");
  await untilContains(file("access.log"), "/after");
  expect(readFileSync(file("access.log.1"), "utf8")).not.toContain("/after");
  expect(readFileSync(file("agent.log.1"), "utf8")).not.toContain("SIGUSR1");
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  await untilContains(file("agent.log"), "Envoy exited");
});

test("22: a log file that cannot be reopened stays in use, and a warning names it", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    args: ["--log_target", "logs/agent.log"],
    prepare: ({ directory }) => {
      mkdirSync(join(directory, "logs"));
    },
  });
  await pod.untilReady();
  const directory = join(pod.directory, "logs");
  renameSync(directory, `${directory}.1`);
  pod.kill("SIGUSR1");
  await untilContains(join(`${directory}.1`, "agent.log"), "log file not reopened");
  rmSync(`${directory}.1`, { recursive: true });
  expect((await pod.readiness()).status).toBe(200);
});

test("22: during a hot restart both Envoys reopen their log files, also the one without an admin interface", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    proxyConfig: { ...proxyConfig, drainDuration: "10s" },
    env: { ATTACHE_HOT_RESTART: "true" },
    prepare: logRequests,
  });
  await pod.untilReady();
  const path = join(pod.directory, "access.log");
  await get(pod, "/old");
  pod.kill("SIGHUP");
  await eventually(() => expect(pod.log()).toContain("hot restart completed"), { withinMs: 10_000 });
  await get(pod, "/new");
  await untilContains(path, "/new");
  renameSync(path, `${path}.1`);
  pod.kill("SIGUSR1");
  const openFiles = (pid: number): readonly string[] => openPaths(pid).filter((name) => name.includes("access.log"));
  await eventually(
    () => {
      expect(pod.envoyPids()).toHaveLength(2);
      for (const pid of pod.envoyPids()) expect(openFiles(pid)).toEqual([path]);
    },
    { withinMs: 5_000 },
  );
});

test("22: SIGUSR1 during the start ends neither agent nor Envoy", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, args: ["--log_target", "agent.log"] });
  const path = join(pod.directory, "agent.log");
  await eventually(() => expect(existsSync(path)).toBe(true), { withinMs: 5_000 });
  const isReady = pod.untilReady().then(() => true);
  while (!(await Promise.race([isReady, systemClock.delay(5)]))) pod.kill("SIGUSR1");
  await untilContains(path, "SIGUSR1: reopening log files");
  expect(readFileSync(path, "utf8")).not.toContain("Envoy exited");
});
