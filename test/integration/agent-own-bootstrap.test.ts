// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { requestHttp } from "../../src/lib/net/http-client.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/free-ports.ts";
import { type Pod, type PodOptions, type PodPorts, startPod } from "../support/pod.ts";

const launcher = join(import.meta.dirname, "../../bin/attache");
const forever = new AbortController().signal;

type Document = Readonly<Record<string, unknown>>;

function listener(port: number): Document {
  const type = "type.googleapis.com/envoy.extensions.filters";
  const manager = {
    "@type": `${type}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "in",
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "served" } } }],
        },
      ],
    },
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": `${type}.http.router.v3.Router` } }],
  };
  return {
    name: "in",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
  };
}

const loopbackAdmin = (port: number, address = "127.0.0.1"): Document => ({
  address: { socket_address: { address, port_value: port } },
});
const files = (directory: string, name: string): Document => ({
  resource_api_version: "V3",
  path_config_source: { path: join(directory, name) },
});
const resources = (...items: readonly Document[]): string => JSON.stringify({ version_info: "1", resources: items });
const asListener = (item: Document): Document => ({
  "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
  ...item,
});

/** A pod whose Envoy starts from a file of the user's own. */
async function startOwn(
  ca: PodOptions["ca"],
  document: (ports: PodPorts, directory: string) => Document,
  more: Partial<PodOptions> = {},
): Promise<Pod> {
  return await startPod({
    ca,
    ...more,
    proxyConfig: { customConfigFile: "./own.json", ...more.proxyConfig },
    prepare: ({ directory, ports }) => {
      const node = { id: "own", cluster: "own" };
      writeFileSync(join(directory, "own.json"), JSON.stringify({ node, ...document(ports, directory) }));
    },
  });
}

async function served(port: number): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${String(port)}/`)).text();
}

async function overSocket(pod: Pod, path: string): Promise<string> {
  const connection = () => ({ socketPath: join(pod.directory, "etc/istio/proxy/admin.sock") });
  return (await requestHttp({ url: { host: "localhost", port: 80, path }, connection }, forever)).text();
}

function attache(pod: Pod, ...words: readonly string[]) {
  const env = { PATH: process.env["PATH"], PROXY_CONFIG: `{"statusPort":${String(pod.ports.status)}}` };
  return spawnSync(launcher, words, { cwd: pod.directory, env, encoding: "utf8" });
}

describe("B11: readiness asks for what this Envoy is configured to receive", () => {
  test.each<[string, (ports: PodPorts, directory: string) => Document]>([
    ["static resources only", ({ admin, inbound }) => ({ admin: loopbackAdmin(admin), ...statics(inbound) })],
    ["the names of fields in JSON", ({ admin, inbound }) => ({ admin: jsonAdmin(admin), ...jsonStatics(inbound) })],
    [
      "static listeners, and clusters from a file",
      ({ admin, inbound }, directory) => {
        writeFileSync(join(directory, "own-cds.json"), resources());
        const cds_config = files(directory, "own-cds.json");
        return { admin: loopbackAdmin(admin), ...statics(inbound), dynamic_resources: { cds_config } };
      },
    ],
    [
      "listeners from a file",
      ({ admin, inbound }, directory) => {
        writeFileSync(join(directory, "own-lds.json"), resources(asListener(listener(inbound))));
        return { admin: loopbackAdmin(admin), dynamic_resources: { lds_config: files(directory, "own-lds.json") } };
      },
    ],
    [
      "a bootstrap that keeps no statistics",
      ({ admin, inbound }) => ({
        admin: loopbackAdmin(admin),
        ...statics(inbound),
        stats_config: { stats_matcher: { reject_all: true } },
      }),
    ],
    ["no admin interface", ({ inbound }) => statics(inbound)],
    [
      "an admin interface on all addresses",
      ({ admin, inbound }) => ({
        admin: loopbackAdmin(admin, "0.0.0.0"),
        ...statics(inbound),
      }),
    ],
  ])("%s", async (_title, document) => {
    await using ca = await startFakeCa();
    await using pod = await startOwn(ca, document);
    await pod.untilReady();
    await eventually(async () => expect(await served(pod.ports.inbound)).toBe("served"), { withinMs: 2_000 });
    const wait = attache(
      pod,
      "wait",
      "--timeoutSeconds",
      "5",
      "--url",
      `http://localhost:${String(pod.ports.status)}/healthz/ready`,
    );
    expect(wait.status, wait.stdout + wait.stderr).toBe(0);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
  });

  test("listeners that Envoy rejects keep the pod unready", async () => {
    await using ca = await startFakeCa();
    await using pod = await startOwn(ca, ({ admin }, directory) => {
      writeFileSync(join(directory, "own-lds.json"), resources(asListener({ name: "in" })));
      const lds_config = files(directory, "own-lds.json");
      return { admin: loopbackAdmin(admin), dynamic_resources: { lds_config } };
    });
    await eventually(
      async () => {
        const { status, body } = await pod.readiness();
        expect(status).toBe(503);
        expect(body).toMatch(/was rejected: lds updates: 0 successful, 1 rejected/);
      },
      { withinMs: 10_000 },
    );
  });

  test("without a readiness listener in the bootstrap, attache wait returns when the agent is ready", async () => {
    await using ca = await startFakeCa();
    await using pod = await startOwn(ca, ({ admin, inbound }) => ({
      admin: loopbackAdmin(admin),
      ...statics(inbound),
    }));
    const wait = attache(pod, "wait", "--timeoutSeconds", "20");
    expect(wait.status, wait.stdout + wait.stderr).toBe(0);
  });
});

function statics(port: number): Document {
  return { static_resources: { listeners: [listener(port)] } };
}

function jsonAdmin(port: number): Document {
  return { address: { socketAddress: { address: "127.0.0.1", portValue: String(port) } } };
}

function jsonStatics(port: number): Document {
  return { staticResources: { listeners: [listener(port)] } };
}

describe("B12: the admin interface is followed where it is", () => {
  const override = (text: (ports: PodPorts, directory: string) => Document): Partial<PodOptions> => ({
    env: { ISTIO_BOOTSTRAP_OVERRIDE: "./override.json", PILOT_AGENT_MERGE_ENVOY_STATS: "true" },
    prepare: ({ directory, ports }) => {
      writeFileSync(join(directory, "override.json"), JSON.stringify(text(ports, directory)));
    },
  });

  async function expectFollowed(pod: Pod): Promise<void> {
    await pod.untilReady();
    const own = await (await fetch(`http://127.0.0.1:${String(pod.ports.metrics)}/stats/prometheus`)).text();
    expect(own).toContain("envoy_server_live");
    const merged = await (await fetch(`http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`)).text();
    expect(merged).toContain("envoy_server_live");
    const request = attache(pod, "request", "GET", "ready");
    expect([request.stdout, request.stderr, request.status]).toEqual(["LIVE\n\n", "", 0]);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(pod.log()).not.toMatch(/drain request to Envoy failed|cannot count/);
  }

  test("another port", async () => {
    const [port = 0] = await freePorts(1);
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, ...override(() => ({ admin: loopbackAdmin(port) })) });
    await expectFollowed(pod);
  });

  test("a Unix socket, in the override's own place", async () => {
    await using ca = await startFakeCa();
    const admin = { address: { pipe: { path: "moved.sock", mode: 0o600 } } };
    await using pod = await startPod({ ca, ...override(() => ({ admin })) });
    await expectFollowed(pod);
  });

  test("an abstract Unix socket", async () => {
    await using ca = await startFakeCa();
    const name = `@attache-test-${String(process.pid)}`;
    await using pod = await startPod({ ca, ...override(() => ({ admin: { address: { pipe: { path: name } } } })) });
    await expectFollowed(pod);
  });

  test("ATTACHE_ENVOY_ADMIN=unix puts it on a socket with mode 0600, and no port is open", async () => {
    await using ca = await startFakeCa();
    const env = { ATTACHE_ENVOY_ADMIN: "unix", PILOT_AGENT_MERGE_ENVOY_STATS: "true" };
    await using pod = await startPod({ ca, env });
    await pod.untilReady();
    expect(statSync(join(pod.directory, "etc/istio/proxy/admin.sock")).mode & 0o777).toBe(0o600);
    await expect(fetch(`http://127.0.0.1:${String(pod.ports.admin)}/ready`)).rejects.toThrow();
    await expectFollowed(pod);
  });

  test("files mode uses the socket unless proxyAdminPort is set", async () => {
    await using ca = await startFakeCa();
    // a field of null counts as not set
    await using pod = await startPod({ ca, proxyConfig: { proxyAdminPort: null } });
    await pod.untilReady();
    expect(statSync(join(pod.directory, "etc/istio/proxy/admin.sock")).mode & 0o777).toBe(0o600);
    expect(await overSocket(pod, "/ready")).toBe("LIVE\n");
  });

  test("a hot restart keeps the socket, and may move the interface", async () => {
    const [port = 0] = await freePorts(1);
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      env: {
        ATTACHE_ENVOY_ADMIN: "unix",
        ATTACHE_HOT_RESTART: "true",
        ATTACHE_READINESS: "strict",
        ISTIO_BOOTSTRAP_OVERRIDE: "./override.json",
      },
      proxyConfig: { drainDuration: "1s" },
      prepare: ({ directory }) => {
        writeFileSync(join(directory, "override.json"), "{}");
      },
    });
    await pod.untilReady();
    const restarts = (): number => pod.log().split("hot restart completed").length - 1;
    pod.kill("SIGHUP");
    await eventually(() => expect(restarts()).toBe(1), { withinMs: 10_000 });
    expect(await overSocket(pod, "/ready")).toBe("LIVE\n");
    await pod.untilReady();
    writeFileSync(join(pod.directory, "override.json"), JSON.stringify({ admin: loopbackAdmin(port) }));
    await eventually(() => expect(pod.envoyPids()).toHaveLength(1), { withinMs: 15_000 });
    pod.kill("SIGHUP");
    await eventually(() => expect(restarts()).toBe(2), { withinMs: 15_000 });
    expect(await (await fetch(`http://127.0.0.1:${String(port)}/ready`)).text()).toBe("LIVE\n");
    await pod.untilReady();
    expect(attache(pod, "request", "GET", "ready").stdout).toBe("LIVE\n\n");
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
  });

  test("an admin interface without a fixed port is refused at the start", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, ...override(() => ({ admin: loopbackAdmin(0) })) });
    expect(await pod.exited).toEqual({ code: 64, signal: null });
    expect(pod.log()).toMatch(/ISTIO_BOOTSTRAP_OVERRIDE: Envoy's admin interface has no fixed address/);
  });

  test("a file without an admin interface is left as it is, and Envoy gets one on a socket", async () => {
    await using ca = await startFakeCa();
    await using pod = await startOwn(ca, ({ inbound }) => statics(inbound));
    await pod.untilReady();
    expect(pod.log()).toMatch(/own\.json has no admin interface.*the agent adds one at the Unix socket/);
    expect(readFileSync(join(pod.directory, "own.json"), "utf8")).not.toContain("admin");
    expect(await overSocket(pod, "/ready")).toBe("LIVE\n");
  });
});
