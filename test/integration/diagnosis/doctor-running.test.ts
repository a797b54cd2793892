// SPDX-License-Identifier: Apache-2.0
import { chmodSync, chownSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { type FakeControlPlane, type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { makeMemoryGroup } from "../../support/control-group.ts";
import { machineProblems, runDoctorIn } from "../../support/doctor-run.ts";
import { encodeEnvoy } from "../../support/envoy-api.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { type Pod, type PodOptions, startPod } from "../../support/pod.ts";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { clusterResource, listenerResource } from "../../support/xds-resources.ts";

function behind(controlPlane: FakeControlPlane): Omit<PodOptions, "ca"> {
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  return {
    proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", ISTIO_META_CLUSTER_ID: "c1" },
  };
}

async function startedControlPlane(): Promise<FakeControlPlane> {
  const controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1")]);
  return controlPlane;
}

async function problemsIn(pod: Pod): Promise<readonly string[]> {
  const run = await runDoctorIn(pod);
  expect(run.durationSeconds).toBeLessThan(5);
  return machineProblems(run);
}

/** The findings begin so, and there are no others. */
async function expectProblems(pod: Pod, expected: readonly string[]): Promise<void> {
  const problems = await problemsIn(pod);
  expect(problems.map((text, index) => (text.startsWith(expected[index] ?? "?") ? expected[index] : text))).toEqual(
    expected,
  );
}

function envoyOf(pod: Pod): number {
  return pod.envoyPids().find((pid) => readFileSync(`/proc/${String(pid)}/comm`, "utf8") === "envoy\n") ?? 0;
}

test("nothing is wrong with a pod whose Envoy reads files, and its certificate is compared", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await eventually(async () => expect(await pod.serials()).toHaveLength(1), { withinMs: 5_000 });
  const run = await runDoctorIn(pod);
  expect(machineProblems(run)).toEqual([]);
  const facts = new Map(run.findings.map(({ check, fact }) => [check, fact]));
  expect(facts.get("envoy-admin.certificate")).toBe(
    `Envoy uses the agent's certificate (serial ${(await pod.serials())[0]?.toUpperCase() ?? ""})`,
  );
  expect(facts.get("ports")).toMatch(/^held by agent and Envoy: /);
  expect(facts.get("sockets.sds")).toContain(`(process ${String(pod.pid)})`);
});

test("the diagnosis leaves no trace: no file, no log line, no connection", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await eventually(() => expect(pod.log()).toContain("ready in"), { withinMs: 5_000 });
  const filesIn = (): readonly string[] => readdirSync(pod.directory, { recursive: true }).map(String).toSorted();
  const before = [filesIn(), pod.log()];
  await runDoctorIn(pod);
  expect([filesIn(), pod.log()]).toEqual(before);
});

test("faults of the sockets are named", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const socket = join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket");
  chmodSync(socket, 0o666);
  await expectProblems(pod, [
    "fail sockets.sds: other users may connect to ./var/run/secrets/workload-spiffe-uds/socket",
  ]);
  chmodSync(socket, 0o600);
  chownSync(socket, 12, 12);
  await expectProblems(pod, ["fail sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket belongs to another user"]);
  rmSync(socket);
  await expectProblems(pod, [
    "fail sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket is missing, although the agent runs",
  ]);
});

test("another process on a port of Envoy is named", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const { readiness } = pod.ports;
  // as Envoy's, its socket allows that the port is shared
  const other = createServer((socket) => socket.destroy()).listen({
    port: readiness,
    host: "0.0.0.0",
    reusePort: true,
  });
  await once(other, "listening");
  try {
    const port = String(readiness);
    await expectProblems(pod, [`fail ports.${port}: port ${port} (Envoy's readiness) is held by `]);
    expect((await problemsIn(pod))[0]).toContain(`(process ${String(process.pid)}), not by Envoy`);
  } finally {
    other.close();
  }
});

test("an Envoy that is stopped is named, and so is an agent that is", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const envoy = envoyOf(pod);
  process.kill(envoy, "SIGSTOP");
  await expectProblems(pod, [`fail envoy-admin: Envoy (process ${String(envoy)}) is stopped by a signal`]);
  process.kill(envoy, "SIGCONT");
  pod.kill("SIGSTOP");
  await expectProblems(pod, [`fail process.state: the agent (process ${String(pod.pid)}) is stopped by a signal`]);
  pod.kill("SIGCONT");
});

test("configuration that Envoy rejects is named with its reason", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startedControlPlane();
  await using pod = await startPod({ ca, ...behind(controlPlane) });
  await pod.untilReady();
  expect(await problemsIn(pod)).toEqual([]);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1"), clusterResource("bad", "1", true)]);
  await eventually(() => expect(pod.log()).toContain("Envoy rejected configuration"), { withinMs: 5_000 });
  await expectProblems(pod, ["fail envoy-admin.configuration: Envoy rejects Cluster (bad)"]);
});

/** A filter that this Envoy does not have. */
function listenerWithFilter(typeUrl: string, port: number): FakeResource {
  const config = { type_url: typeUrl, value: new Uint8Array() };
  const value = encodeEnvoy("envoy.config.listener.v3.Listener", {
    name: "filtered",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "istio.metadata_exchange", typed_config: config }] }],
  });
  return { name: "filtered", version: "1", value };
}

test("a filter that Envoy lacks is named, as the cause", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startedControlPlane();
  await using pod = await startPod({ ca, ...behind(controlPlane) });
  await pod.untilReady();
  const [port = 0] = await freePorts(1);
  const typeUrl = "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange";
  controlPlane.set(typeUrls.listener, [listenerWithFilter(typeUrl, port)]);
  await eventually(() => expect(pod.log()).toContain("Envoy rejected configuration"), { withinMs: 5_000 });
  await expectProblems(pod, ["fail envoy-admin.extension: Envoy rejects Listener (filtered)"]);
  expect((await problemsIn(pod))[0]).toContain("it has no extension istio.metadata_exchange");
});

test("an Envoy that still waits for its configuration, or drains, is named with its state", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startedControlPlane();
  controlPlane.responds = false;
  await using pod = await startPod({ ca, ...behind(controlPlane) });
  await eventually(async () => expect((await pod.readiness()).status).toBe(503), { withinMs: 5_000 });
  await eventually(() => expectProblems(pod, ["warn envoy-admin.state: Envoy's state is PRE_INITIALIZING"]), {
    withinMs: 10_000,
  });
  await using files = await startPod({ ca });
  await files.untilReady();
  await fetch(`http://127.0.0.1:${String(files.ports.admin)}/healthcheck/fail`, {
    method: "POST",
    headers: { connection: "close" },
  });
  await expectProblems(files, ["warn envoy-admin.state: Envoy is draining"]);
});

test("a file of resources that Envoy cannot use is named", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const [path, next] = ["lds.yaml", "next"].map((name) => join(pod.directory, "resources", name));
  writeFileSync(next ?? "", "resources: [{ no: type }]");
  renameSync(next ?? "", path ?? "");
  await eventually(() => expect(pod.log()).toContain("config update failure"), { withinMs: 5_000 });
  await expectProblems(pod, ["warn envoy-admin.files: lds.yaml could not be read once since Envoy's start"]);
});

test("a listener that Envoy cannot open is named", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startedControlPlane();
  await using pod = await startPod({ ca, ...behind(controlPlane) });
  await pod.untilReady();
  const [port = 0] = await freePorts(1);
  const other = createServer().listen(port, "127.0.0.1");
  await once(other, "listening");
  try {
    controlPlane.set(typeUrls.listener, [listenerResource("taken", port, "1")]);
    await eventually(() => expect(pod.log()).toContain("Envoy rejected configuration"), { withinMs: 5_000 });
    await expectProblems(pod, ["fail envoy-admin.listeners: Envoy rejects Listener (taken)"]);
    expect((await problemsIn(pod))[0]).toContain(`port ${String(port)} is held by `);
  } finally {
    other.close();
  }
});

test("in a container without spare memory, nothing is checked and nothing is killed", async () => {
  await using ca = await startFakeCa();
  using group = makeMemoryGroup(64 * 1024 * 1024);
  if (group === undefined) return;
  {
    const { launcher } = group;
    await using pod = await startPod({ ca, launcher });
    await pod.untilReady();
    const { findings } = await runDoctorIn(pod, { launcher });
    expect(findings).toMatchObject([{ check: "limits.memory", outcome: "fail" }]);
    expect(findings[0]?.fact).toMatch(/^\d+ MiB are left of the memory limit of 64 MiB/);
    expect(group.oomKills()).toBe(0);
    expect((await pod.readiness()).status).toBe(200);
  }
});

/** As the kubelet runs it: an unprivileged user without capabilities, on a read-only root with writable volumes. */
function restricted(directory: string): readonly string[] {
  const mounts = `mount --bind ${directory} ${directory}; mount -o remount,ro,bind /`;
  const user = "setpriv --reuid 1337 --regid 1337 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
  return ["unshare", "-m", "sh", "-ec", `${mounts}; cd ${directory}; exec ${user} "$@"`, "sh"];
}

function own(directory: string): void {
  chownSync(directory, 1337, 1337);
  for (const name of readdirSync(directory, { recursive: true })) chownSync(join(directory, String(name)), 1337, 1337);
}

test.runIf(mayMakeNetworks)("nothing is wrong under Kubernetes' restrictions, before and after the start", async () => {
  await using ca = await startFakeCa();
  let launcher: readonly string[] = [];
  const env = { KUBERNETES_SERVICE_HOST: "10.0.0.1", ISTIO_META_INTERCEPTION_MODE: "REDIRECT" };
  await using pod = await startPod({
    ca,
    env,
    get launcher() {
      return launcher;
    },
    prepare: ({ directory }) => {
      chmodSync(dirname(directory), 0o711);
      own(directory);
      launcher = restricted(directory);
    },
  });
  await pod.untilReady();
  const run = await runDoctorIn(pod, { launcher });
  // nothing listens on Envoy's inbound port
  const unseen = "warn interception: rules cannot be seen: that needs CAP_NET_ADMIN; whether traffic is captured";
  expect(machineProblems(run)).toEqual([expect.stringContaining(unseen)]);
  const facts = new Map(run.findings.map(({ check, fact }) => [check, fact]));
  expect(facts.get("process")).toContain("uid 1337, gid 1337, no capabilities, no_new_privs");
  expect(facts.get("sockets.sds")).toContain("is served by");
  pod.kill("SIGTERM");
  await pod.exited;
  expect(machineProblems(await runDoctorIn(pod, { launcher }))).toEqual([expect.stringContaining(unseen)]);
});

test("on a laptop nothing is wrong beside a running agent, which can be examined by its process", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await using laptop = await temporaryDirectory();
  const outside = { directory: laptop.path, env: { PATH: process.env["PATH"] ?? "", HOME: laptop.path } };
  const run = await runDoctorIn(outside);
  expect(run.code).toBe(0);
  expect(run.findings.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
  const other = await runDoctorIn(outside, { args: ["--pid", String(pod.pid)] });
  expect(machineProblems(other)).toEqual([]);
  expect(other.findings.find(({ check }) => check === "sockets.sds")?.fact).toContain(`(process ${String(pod.pid)})`);
});

test("another user sees less, and finds nothing wrong for that", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  chmodSync(dirname(pod.directory), 0o711);
  chmodSync(pod.directory, 0o711);
  const launcher = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--no-new-privs"];
  expect(machineProblems(await runDoctorIn(pod, { launcher }))).toEqual([]);
});

test("a terminal without the agent's variables judges the agent that runs there, and says so", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const env = { PATH: process.env["PATH"] ?? "", PROXY_CONFIG: JSON.stringify({ statusPort: pod.ports.status }) };
  const inDirectory = await runDoctorIn({ directory: pod.directory, env });
  const address = `localhost:${String(pod.ports.status)}`;
  const elsewhere = await runDoctorIn({ directory: "/", env: { PATH: env.PATH } }, { args: ["--address", address] });
  for (const run of [inDirectory, elsewhere]) {
    expect(run.findings.filter(({ outcome }) => outcome === "fail")).toEqual([]);
    expect(machineProblems(run)).toEqual([]);
    expect(run.findings[0]?.fact).toContain(`judges the environment of process ${String(pod.pid)}`);
    expect(run.findings.find(({ check }) => check === "sockets.sds")?.outcome).toBe("ok");
  }
  const own = await runDoctorIn(pod);
  expect(own.findings.map(({ check }) => check)).not.toContain("environment");
});

test("beside an agent that may not be read, what does not fit it is no failure", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  for (const directory of [dirname(pod.directory), pod.directory]) chmodSync(directory, 0o711);
  const launcher = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--no-new-privs"];
  const statusPort = { PROXY_CONFIG: JSON.stringify({ statusPort: pod.ports.status }), POD_NAME: "other" };
  const run = await runDoctorIn(
    { directory: "/tmp", env: { PATH: process.env["PATH"] ?? "", ...statusPort } },
    { launcher },
  );
  expect(run.findings[0]).toMatchObject({ check: "environment", outcome: "warn" });
  expect(run.findings[0]?.fact).toMatch(/the agent that answers is another one: it is the node sidecar~/);
  expect(run.findings.filter(({ outcome }) => outcome === "fail")).toEqual([]);
  expect(run.findings.some(({ check, outcome }) => check === "token" && outcome === "warn")).toBe(true);
});
