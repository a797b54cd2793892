// SPDX-License-Identifier: Apache-2.0
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { answering, startFakeResolver } from "../fakes/fake-resolver.ts";
import { ask } from "../support/dns-client.ts";
import { encodeQuery } from "../support/dns-messages.ts";
import { dnsEnvironment } from "../support/dns-environment.ts";
import { eventually } from "../support/eventually.ts";
import { kubernetes, nameTableResource } from "../support/name-tables.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const waits = "istio DNS capture is turned ON and DNS lookup table is not ready yet";

/** A control plane with everything but a name table. */
async function controlPlaneWithoutNames(): Promise<FakeControlPlane> {
  const controlPlane = await startFakeControlPlane();
  for (const typeUrl of [typeUrls.listener, typeUrls.cluster]) controlPlane.set(typeUrl, []);
  return controlPlane;
}

function podBehind(controlPlane: FakeControlPlane, env: Readonly<Record<string, string>>) {
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  return { proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" }, env: { ATTACHE_XDS_FILES: "", ...env } };
}

async function textOf(pod: Pod, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const url = `http://127.0.0.1:${String(pod.ports.status)}${path}`;
  const answer = await fetch(url, { headers: { connection: "close" } });
  return { status: answer.status, text: await answer.text() };
}

test.each(["compatible", "strict"])(
  "%s: a pod with DNS capture is not ready until the first name table; an empty response is not one, an empty table is",
  async (ATTACHE_READINESS) => {
    await using ca = await startFakeCa();
    await using controlPlane = await controlPlaneWithoutNames();
    const env = { ATTACHE_READINESS, ...(await dnsEnvironment()) };
    await using pod = await startPod({ ca, ...podBehind(controlPlane, env) });
    const untilOnlyNamesAreMissing = () =>
      eventually(
        async () => {
          const tree = await textOf(pod, "/healthz/ready?verbose");
          expect(tree.text.split("\n").filter((line) => line.startsWith("[-]"))).toEqual([
            expect.stringContaining(`dns: ${waits}`),
          ]);
          expect(tree.status).toBe(503);
        },
        { withinMs: 10_000 },
      );
    await untilOnlyNamesAreMissing();
    controlPlane.set(typeUrls.nameTable, []);
    await eventually(() => expect(controlPlane.seen(typeUrls.nameTable)).toHaveLength(2), { withinMs: 5_000 });
    await untilOnlyNamesAreMissing();
    expect(await textOf(pod, "/debug/ndsz")).toEqual({ status: 404, text: "{}" });
    controlPlane.set(typeUrls.nameTable, [nameTableResource([])]);
    await pod.untilReady();
    expect(await textOf(pod, "/debug/ndsz")).toEqual({
      status: 200,
      text: expect.stringContaining('"table"') as unknown,
    });
  },
);

test("an agent whose Envoy dies before the first name table reports that it was missing", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await controlPlaneWithoutNames();
  const env = { ...(await dnsEnvironment()), ATTACHE_TERMINATION_MESSAGE_PATH: "./message" };
  await using pod = await startPod({ ca, ...podBehind(controlPlane, env) });
  await eventually(() => expect(controlPlane.seen(typeUrls.nameTable)).toHaveLength(1), { withinMs: 10_000 });
  for (const pid of pod.envoyPids()) process.kill(pid, "SIGKILL");
  await pod.exited;
  expect(readFileSync(join(pod.directory, "message"), "utf8")).toContain(`dns: ${waits}`);
});

test("/debug/ndsz has the name table with its registries, and every change of it", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await controlPlaneWithoutNames();
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "other", ["10.0.0.1"])])]);
  await using pod = await startPod({ ca, ...podBehind(controlPlane, await dnsEnvironment()) });
  await pod.untilReady();
  const entry = { ips: ["10.0.0.1"], registry: "Kubernetes" };
  expect(JSON.parse((await textOf(pod, "/debug/ndsz")).text)).toEqual({
    table: {
      "web.other.svc.cluster.local": { ...entry, shortname: "web", namespace: "other" },
      "web.other.svc.cluster.local.": entry,
      "web.other.": entry,
      "web.other.svc.": entry,
    },
  });
  controlPlane.set(typeUrls.nameTable, [nameTableResource([], "2")]);
  await eventually(async () => expect(JSON.parse((await textOf(pod, "/debug/ndsz")).text)).toEqual({ table: {} }), {
    withinMs: 2_000,
  });
  expect((await pod.readiness()).status).toBe(200);
});

test.each(["true", "false"])(
  "with ISTIO_DELTA_XDS=%s each type has its state and a version, the name table among them",
  async (ISTIO_DELTA_XDS) => {
    await using ca = await startFakeCa();
    await using controlPlane = await controlPlaneWithoutNames();
    controlPlane.set(typeUrls.nameTable, [nameTableResource([])]);
    const env = { ISTIO_DELTA_XDS, ...(await dnsEnvironment()) };
    await using pod = await startPod({ ca, ...podBehind(controlPlane, env) });
    await pod.untilReady();
    const { types } = JSON.parse((await textOf(pod, "/debug/xds")).text) as { types: readonly object[] };
    const synced = { state: "SYNCED", version: expect.stringMatching(/./) as unknown };
    expect(types).toEqual([
      expect.objectContaining({ typeUrl: typeUrls.cluster, ...synced, resourceCount: 0 }),
      expect.objectContaining({ typeUrl: typeUrls.listener, ...synced, resourceCount: 0 }),
      expect.objectContaining({ typeUrl: typeUrls.nameTable, ...synced, readBy: "agent" }),
    ]);
  },
);

test("without DNS capture no name table is subscribed to, and there is none to show", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await controlPlaneWithoutNames();
  await using pod = await startPod({ ca, ...podBehind(controlPlane, {}) });
  await pod.untilReady();
  expect(controlPlane.seen(typeUrls.nameTable)).toEqual([]);
  expect(await textOf(pod, "/debug/ndsz")).toEqual({ status: 404, text: "{}" });
});

test("an agent resolves names of the mesh over UDP and TCP, forwards the rest, counts both, and follows the control plane", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await controlPlaneWithoutNames();
  const env = await dnsEnvironment();
  await using pod = await startPod({
    ca,
    ...podBehind(controlPlane, { ...env, ATTACHE_RESOLV_CONF: "resolv.conf", DNS_FORWARD_TIMEOUT: "500ms" }),
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "resolv.conf"), "nameserver 127.0.0.1\nsearch demo.svc.cluster.local\n");
    },
  });
  const server = { host: "127.0.0.1", port: Number(env.DNS_PROXY_ADDR.split(":")[1]) };
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.1"])])]);
  await pod.untilReady();
  for (const transport of ["udp", "tcp"] as const) {
    const reply = await ask(server, transport, encodeQuery("web.demo.demo.svc.cluster.local"));
    expect(reply.answers.map(({ data }) => data)).toEqual(["web.demo.", "10.0.0.1"]);
  }
  expect((await ask(server, "udp", encodeQuery("nobody.example.org"))).rcode).not.toBe(0);
  const { text } = await textOf(pod, "/stats/prometheus");
  expect(text).toMatch(/^istio_agent_dns_requests_total 3$/m);
  expect(text).toMatch(/^istio_agent_dns_upstream_requests_total 1$/m);
  expect(text).toMatch(/^istio_agent_dns_upstream_request_duration_seconds_count 1$/m);
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.2"])], "2")]);
  await eventually(
    async () => expect((await ask(server, "udp", encodeQuery("web"))).answers).toMatchObject([{ data: "10.0.0.2" }]),
    { withinMs: 5_000 },
  );
  await controlPlane.kill();
  expect((await ask(server, "udp", encodeQuery("web"))).answers).toMatchObject([{ data: "10.0.0.2" }]);
});

test("with configuration from files an agent forwards all queries, and waits for no table", async () => {
  await using ca = await startFakeCa();
  const env = await dnsEnvironment();
  await using pod = await startPod({ ca, env });
  await pod.untilReady();
  expect(pod.log()).toContain("no control plane: the DNS proxy has no name table");
  expect(await textOf(pod, "/debug/ndsz")).toMatchObject({
    status: 200,
    text: expect.stringMatching(/"table":\s*{}/) as unknown,
  });
});

test("a DNS port that is taken ends the agent with 69, and is named", async () => {
  await using ca = await startFakeCa();
  const env = await dnsEnvironment();
  await using first = await startPod({ ca, env });
  await first.untilReady();
  await using second = await startPod({ ca, env });
  expect(await second.exited).toMatchObject({ code: 69 });
  expect(second.log()).toMatch(/listen for DNS on 127\.0\.0\.1:\d+ \(udp\): .*process \d+\) already listens there/);
  expect((await first.readiness()).status).toBe(200);
});

test("a resolv.conf that cannot be read ends the agent with 69, and is named", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ...(await dnsEnvironment()), ATTACHE_RESOLV_CONF: "./gone" } });
  expect(await pod.exited).toMatchObject({ code: 69 });
  expect(pod.log()).toMatch(/read resolvers from \.\/gone: make the file readable.*ENOENT/);
});

test("an agent that restarts without a control plane has the previous names, and the current ones when it is back", async () => {
  await using ca = await startFakeCa();
  await using cache = await temporaryDirectory();
  await using controlPlane = await controlPlaneWithoutNames();
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.1"])])]);
  const env = await dnsEnvironment();
  const server = { host: "127.0.0.1", port: Number(env.DNS_PROXY_ADDR.split(":")[1]) };
  const options = { ca, ...podBehind(controlPlane, { ...env, ATTACHE_XDS_CACHE: cache.path }) };
  const untilKept = () =>
    eventually(
      async () => expect((await readdir(cache.path)).filter((name) => name.startsWith("nds."))).toHaveLength(1),
      {
        withinMs: 5_000,
      },
    );
  {
    await using first = await startPod(options);
    await first.untilReady();
    await untilKept();
  }
  await controlPlane.kill();
  await using pod = await startPod(options);
  await pod.untilReady();
  expect((await textOf(pod, "/healthz/ready?verbose")).text).toContain("served from cache");
  expect((await ask(server, "udp", encodeQuery("web"))).answers).toMatchObject([{ data: "10.0.0.1" }]);
  controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.2"])], "2")]);
  await controlPlane.listen(controlPlane.port);
  await eventually(
    async () => expect((await ask(server, "udp", encodeQuery("web"))).answers).toMatchObject([{ data: "10.0.0.2" }]),
    { withinMs: 5_000 },
  );
});

test.runIf(process.getuid?.() === 0)("an agent queries the resolvers of resolv.conf at port 53", async () => {
  await using ca = await startFakeCa();
  await using resolver = await startFakeResolver(answering({ "www.example.org.": ["192.0.2.1"] }, 0), "127.0.53.1", 53);
  const env = await dnsEnvironment();
  const server = { host: "127.0.0.1", port: Number(env.DNS_PROXY_ADDR.split(":")[1]) };
  await using pod = await startPod({
    ca,
    env: { ...env, ATTACHE_RESOLV_CONF: "resolv.conf" },
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "resolv.conf"), `nameserver ${resolver.host}\n`);
    },
  });
  await pod.untilReady();
  for (const transport of ["udp", "tcp"] as const) {
    expect((await ask(server, transport, encodeQuery("www.example.org"))).answers).toMatchObject([
      { data: "192.0.2.1" },
    ]);
  }
  expect(resolver.seen.map(({ transport }) => transport)).toEqual(["udp", "tcp"]);
});

test.runIf(process.getuid?.() === 0)(
  "rough edge 26: root on port 53 is the machine's resolver: it forwards queries before the first table, does not query itself, and Envoy is another user",
  async () => {
    await using ca = await startFakeCa();
    await using controlPlane = await controlPlaneWithoutNames();
    await using resolver = await startFakeResolver(
      answering({ "www.example.org.": ["192.0.2.1"] }, 0),
      "127.0.53.2",
      53,
    );
    const own = { host: "127.0.53.3", port: 53 };
    await using pod = await startPod({
      ca,
      ...podBehind(controlPlane, {
        ISTIO_META_DNS_CAPTURE: "true",
        DNS_PROXY_ADDR: `${own.host}:53`,
        ATTACHE_RESOLV_CONF: "resolv.conf",
      }),
      prepare: ({ directory }) => {
        writeFileSync(join(directory, "resolv.conf"), `nameserver ${own.host}\nnameserver ${resolver.host}\n`);
        // Envoy's user has to get there
        for (const path of [directory, dirname(directory)]) chmodSync(path, 0o755);
      },
    });
    await eventually(() => expect(controlPlane.seen(typeUrls.nameTable)).toHaveLength(1), { withinMs: 10_000 });
    for (const transport of ["udp", "tcp", "udp", "tcp"] as const) {
      const reply = await ask(own, transport, encodeQuery("www.example.org"));
      expect(reply.answers).toMatchObject([{ data: "192.0.2.1" }]);
    }
    controlPlane.set(typeUrls.nameTable, [nameTableResource([kubernetes("web", "demo", ["10.0.0.1"])])]);
    await pod.untilReady();
    expect((await ask(own, "udp", encodeQuery("web"))).answers).toMatchObject([{ data: "10.0.0.1" }]);
    expect(resolver.seen).toHaveLength(4);
    const [envoy = 0] = pod.envoyPids();
    expect(readFileSync(`/proc/${String(envoy)}/status`, "utf8")).toMatch(/^Uid:\s+1337\s/m);
  },
);
