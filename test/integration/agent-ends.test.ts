// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { type FakeCaMode, startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { makeMemoryGroup } from "../support/control-group.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";

/** One way in which the agent ends: how it comes to it, its exit code, and what the termination message begins with. */
interface Way {
  readonly name: string;
  readonly code: number;
  /** Undefined: a good end, which leaves no message. */
  readonly message: RegExp | undefined;
  readonly options?: Partial<PodOptions>;
  /** How the CA behaves, if not well. */
  readonly ca?: FakeCaMode;
  /** Once the pod is ready. Left out: it is never ready, and ends by itself. */
  readonly end?: (pod: Pod) => Promise<void> | void;
}

const stopAgent =
  (signal: NodeJS.Signals) =>
  (pod: Pod): void => {
    pod.kill(signal);
  };

const killEnvoy =
  (signal: NodeJS.Signals) =>
  (pod: Pod): void => {
    for (const pid of pod.envoyPids()) process.kill(pid, signal);
  };

const post = async (port: number, path: string): Promise<void> => {
  await fetch(`http://127.0.0.1:${String(port)}${path}`, { method: "POST" });
};

const placeProgram =
  (script: string) =>
  async ({ directory }: { readonly directory: string }): Promise<void> => {
    await writeFile(join(directory, "program"), script);
    await chmod(join(directory, "program"), 0o755);
  };

const program = { proxyConfig: { binaryPath: "./program" } };

const ways: readonly Way[] = [
  { name: "SIGTERM", code: 0, message: undefined, end: stopAgent("SIGTERM") },
  { name: "SIGINT", code: 0, message: undefined, end: stopAgent("SIGINT") },
  { name: "/quitquitquit", code: 0, message: undefined, end: (pod) => post(pod.ports.status, "/quitquitquit") },
  { name: "Envoy asked to quit", code: 0, message: undefined, end: (pod) => post(pod.ports.admin, "/quitquitquit") },
  { name: "Envoy killed", code: 137, message: /Envoy was killed by signal SIGKILL/, end: killEnvoy("SIGKILL") },
  { name: "Envoy crashed", code: 139, message: /Envoy crashed with signal SIGSEGV/, end: killEnvoy("SIGSEGV") },
  { name: "Envoy aborted", code: 134, message: /Envoy crashed with signal SIGABRT/, end: killEnvoy("SIGABRT") },
  {
    name: "Envoy met a bad instruction",
    code: 132,
    message: /Envoy crashed with signal SIGILL/,
    end: killEnvoy("SIGILL"),
  },
  { name: "Envoy met a bad address", code: 135, message: /Envoy crashed with signal SIGBUS/, end: killEnvoy("SIGBUS") },
  {
    name: "a fault of the agent itself",
    code: 70,
    message: /a fault of its own/,
    options: {
      env: { NODE_OPTIONS: "--require=./fault.cjs" },
      prepare: ({ directory }) =>
        writeFile(
          join(directory, "fault.cjs"),
          'process.on("SIGUSR2", () => { throw new Error("a fault of its own"); });',
        ),
    },
    end: stopAgent("SIGUSR2"),
  },
  {
    name: "a CA that refuses for good",
    code: 77,
    message: /request a certificate for spiffe:\/\/cluster.local\/ns\/demo\/sa\/web: the CA has rejected every request/,
    options: { env: { ATTACHE_CA_REFUSED_EXIT_AFTER: "300ms" } },
    ca: { kind: "refuse", status: "PERMISSION_DENIED" },
  },
  {
    name: "Envoy gave up at its start",
    code: 7,
    message: /Envoy failed to start with exit code 7/,
    options: { ...program, prepare: placeProgram("#!/bin/sh\nexit 7\n") },
  },
  {
    name: "a bootstrap that Envoy refuses",
    code: 1,
    message: /Envoy failed to start with exit code 1: .*static_resources/,
    options: {
      env: { ISTIO_BOOTSTRAP_OVERRIDE: "./override.json" },
      prepare: ({ directory }) => writeFile(join(directory, "override.json"), '{"static_resources":{"listeners":5}}'),
    },
  },
  {
    name: "no Envoy",
    code: 69,
    message: /run Envoy at \/nowhere\/envoy: there is no such file/,
    options: { proxyConfig: { binaryPath: "/nowhere/envoy" } },
  },
  {
    name: "an Envoy that is no program",
    code: 69,
    message: /Envoy could not be executed/,
    options: { ...program, prepare: placeProgram("\u007fELF damaged") },
  },
  {
    name: "an Envoy without its execute bit",
    code: 69,
    message: /run Envoy at \.\/program: it is not executable/,
    options: { ...program, prepare: ({ directory }) => writeFile(join(directory, "program"), "") },
  },
];

test("the ways have twelve codes, one of them that of a wrong configuration, and each way a message of its own", () => {
  const codes = new Set([64, ...ways.map(({ code }) => code)]);
  expect(codes.size).toBeGreaterThanOrEqual(12);
  const messages = ways.flatMap(({ message }) => message?.source ?? []);
  expect(new Set(messages).size).toBe(messages.length);
});

test.each(ways)("$name ends the agent with $code", async ({ code, message, options, end, ca: mode }) => {
  await using ca = await startFakeCa();
  if (mode !== undefined) ca.set(mode);
  const env = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };
  await using pod = await startPod({ ca, ...options, env: { ...env, ...options?.env } });
  if (end !== undefined) {
    await pod.untilReady();
    await end(pod);
  }
  expect(await pod.exited).toEqual({ code, signal: null });
  expect(pod.envoyPids()).toEqual([]);
  await expectCrashReport(pod.directory, code, message);
});

async function expectCrashReport(directory: string, code: number, message: RegExp | undefined): Promise<void> {
  const path = join(directory, "message");
  if (message === undefined) {
    expect([existsSync(path), existsSync(join(directory, "flights"))]).toEqual([false, false]);
    return;
  }
  const text = await readFile(path, "utf8");
  expect(text.split("\n")[0]).toMatch(new RegExp(`^attache exited with code ${String(code)}: `));
  expect(text.split("\n")[0]).toMatch(message);
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096);
  expect(await readdir(join(directory, "flights"))).toHaveLength(1);
}

test("a configuration that cannot be read ends the agent with 64, before anything runs", async () => {
  await using ca = await startFakeCa();
  const recorder = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };
  await using pod = await startPod({ ca, env: { ...recorder, PROXY_CONFIG: "[not an object" } });
  expect(await pod.exited).toEqual({ code: 64, signal: null });
  expect(pod.envoyPids()).toEqual([]);
  expect(pod.log()).toMatch(/PROXY_CONFIG/);
  await expectCrashReport(pod.directory, 64, /PROXY_CONFIG/);
});

test.each([
  ["the agent's", "status", 69],
  ["Envoy's admin", "admin", 1],
  ["Envoy's readiness", "readiness", 1],
] as const)("a port that is taken, %s, is named at the end", async (_name, which, code) => {
  const held: Socket[] = [];
  let holder: Server | undefined;
  const prepare: PodOptions["prepare"] = async ({ ports }) => {
    holder = createServer((socket) => socket.destroy()).listen(
      ports[which],
      which === "status" ? undefined : "0.0.0.0",
    );
    await once(holder, "listening");
  };
  try {
    await using ca = await startFakeCa();
    const env = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };
    await using pod = await startPod({ ca, env, prepare });
    const startMs = performance.now();
    expect(await pod.exited).toEqual({ code, signal: null });
    expect(performance.now() - startMs).toBeLessThan(2_500);
    expect(pod.envoyPids()).toEqual([]);
    await expectCrashReport(pod.directory, code, new RegExp(`\\b${String(pod.ports[which])}\\b`));
  } finally {
    for (const socket of held) socket.destroy();
    holder?.close();
  }
});

test("a base id for hot restart that another agent of the machine has is named at the end", async () => {
  await using ca = await startFakeCa();
  await using first = await startPod({ ca, env: { ATTACHE_HOT_RESTART: "true" } });
  await first.untilReady();
  const log = first.log();
  const baseId = /"--base-id","(\d+)"/.exec(log)?.[1] ?? "";
  const env = { ATTACHE_HOT_RESTART: "true", ATTACHE_HOT_RESTART_BASE_ID: baseId };
  const reports = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };
  await using second = await startPod({ ca, env: { ...env, ...reports } });
  expect(await second.exited).toEqual({ code: 1, signal: null });
  await expectCrashReport(second.directory, 1, /another Envoy on this machine has the same base id/);
  expect((await first.readiness()).status).toBe(200);
});

test("a crash report that cannot be written is logged, and does not delay the exit", async () => {
  await using ca = await startFakeCa();
  const env = { ATTACHE_TERMINATION_MESSAGE_PATH: "./resources", ATTACHE_FLIGHT_RECORDER_DIR: "/proc/nowhere" };
  await using pod = await startPod({ ca, env });
  await pod.untilReady();
  killEnvoy("SIGKILL")(pod);
  expect(await pod.exited).toEqual({ code: 137, signal: null });
  expect(pod.log().match(/cannot write crash report\tfailure=.*(EISDIR|ENOENT)/g)).toHaveLength(2);
});

test("the crash report of a killed Envoy has the last events before it", async () => {
  await using ca = await startFakeCa();
  const drain = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "5s" };
  await using pod = await startPod({
    ca,
    env: { ...drain, ATTACHE_TERMINATION_MESSAGE_PATH: "./message" },
    proxyConfig: { terminationDrainDuration: "5s" },
  });
  await pod.untilReady();
  pod.kill("SIGTERM");
  await eventually(() => expect(pod.log()).toContain("draining Envoy"), { withinMs: 2_000 });
  killEnvoy("SIGKILL")(pod);
  await pod.exited;
  const [, ...events] = (await readFile(join(pod.directory, "message"), "utf8")).trimEnd().split("\n");
  expect(events.length).toBeGreaterThan(5);
  for (const event of events) expect(event).toMatch(/^-\d+\.\d{3}s (debug|info|warn|error) \S/);
  for (const expected of [
    "ready in ",
    "shutting down cause=received SIGTERM",
    "cert: certificate issued",
    "sds: secret sent resource=default version=",
  ]) {
    expect(events.join("\n")).toContain(expected);
  }
  expect(events.join("\n")).not.toMatch(/BEGIN|PRIVATE/);
});

const limit = makeMemoryGroup(150 * 2 ** 20);
afterAll(() => {
  limit?.[Symbol.dispose]();
});

test.runIf(limit !== undefined)(
  "an Envoy killed for lack of memory ends the agent with 137, and the report has the cause",
  async () => {
    await using ca = await startFakeCa();
    const script = "#!/bin/sh\nmkfifo go\nread -r _ < go\nexec tail /dev/zero\n";
    const env = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };
    await using pod = await startPod({
      ca,
      env,
      ...program,
      args: ["--log_output_level=host:debug"],
      prepare: placeProgram(script),
    });
    await eventually(
      () => {
        expect(pod.log()).toContain("limits");
      },
      { withinMs: 5_000 },
    );
    for (const pid of [pod.pid, ...pod.envoyPids()]) limit?.add(pid);
    await writeFile(join(pod.directory, "go"), "now\n");
    expect(await pod.exited).toEqual({ code: 137, signal: null });
    await expectCrashReport(
      pod.directory,
      137,
      /Envoy ran out of memory and was killed .*raise the container's memory limit/,
    );
  },
);

const ownReports = { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ATTACHE_FLIGHT_RECORDER_DIR: "./flights" };

test.each(["SIGTERM", "SIGINT"] as const)(
  "B13: %s before the pod was ever ready ends it with 75, and the message says what was pending",
  async (signal) => {
    await using ca = await startFakeCa();
    ca.set({ kind: "refuse", status: "UNAVAILABLE" });
    await using pod = await startPod({ ca, env: ownReports });
    await eventually(
      async () => {
        expect((await pod.readiness()).body).toContain("identity");
      },
      { withinMs: 10_000 },
    );
    pod.kill(signal);
    expect(await pod.exited).toEqual({ code: 75, signal: null });
    const message = await readFile(join(pod.directory, "message"), "utf8");
    expect(message).toContain(`attache exited with code 75: the pod ended before it was ready: received ${signal}\n`);
    expect(message).toMatch(/\[-\] identity: /);
  },
);

test("B13: a pod that was never ready and was asked to quit ends with 0: its job's program has ended", async () => {
  await using ca = await startFakeCa();
  ca.set({ kind: "refuse", status: "UNAVAILABLE" });
  await using pod = await startPod({ ca, env: ownReports });
  await eventually(() => pod.readiness(), { withinMs: 10_000 });
  await post(pod.ports.status, "/quitquitquit");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});

test("B13: a stop while the agent waits for another process's socket ends with 75 and a message", async () => {
  await using ca = await startFakeCa();
  const env = { ...ownReports, ATTACHE_SDS_SOURCE: "foreign", ATTACHE_FOREIGN_SDS_WAIT: "60s" };
  await using pod = await startPod({ ca, env });
  await systemClock.delay(1_500);
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 75, signal: null });
  expect(await readFile(join(pod.directory, "message"), "utf8")).toContain("the pod ended before it was ready");
});
