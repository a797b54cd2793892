// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseDocument } from "yaml";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { freePorts } from "../../support/free-ports.ts";
import { startProgram } from "../../support/program.ts";
import { runProgram } from "../../support/run-program.ts";
import { formsOfKey } from "../../support/secret-search.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const launcher = join(import.meta.dirname, "../../../bin/attache");

async function config(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  await using program = startProgram(["config", ...args], env);
  return await program.exited;
}

const parts = ["clusters", "listeners", "routes", "endpoints", "secrets", "bootstrap", "log", "all", "eds", "ecds"];

/** Everything that the command prints of a pod. */
async function everything(pod: Pod): Promise<string> {
  const at = ["--address", String(pod.ports.status)];
  const printed: string[] = [];
  for (const part of parts) {
    for (const format of ["text", "json", "yaml"]) {
      const { code, stdout, stderr } = await config([part, ...at, "-o", format]);
      expect([part, format, code]).toEqual([part, format, 0]);
      printed.push(stdout, stderr);
    }
  }
  return printed.join("\n");
}

test("a key, session tickets, passwords and credentials in headers are in no output of a real Envoy", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/demo/sa/planted");
  const canary = "k7hunter2canary9XzQ";
  const basic = Buffer.from(`admin:${canary}`).toString("base64");
  const ticket = Buffer.from(`${canary}-ticket-`.padEnd(80, "t")).toString("base64");
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    env: { ISTIO_META_UPSTREAM_PASSWORD: canary },
    prepare: ({ directory: folder }) => {
      const path = join(folder, "resources/lds.yaml");
      const document = parseDocument(readFileSync(path, "utf8"));
      const chain = ["resources", 0, "filter_chains", 0];
      const headers = { authorization: `Basic ${basic}`, "x-forwarded-key": `Bearer ${canary}`, cookie: `s=${canary}` };
      document.setIn(
        [...chain, "filters", 0, "typed_config", "route_config", "request_headers_to_add"],
        Object.entries(headers).map(([key, value]) => ({ header: { key, value } })),
      );
      document.setIn([...chain, "transport_socket", "typed_config", "session_ticket_keys"], {
        keys: [{ inline_bytes: ticket }],
      });
      writeFileSync(path, document.toString());
      const tls = { certificate_chain: { inline_string: chainPem }, private_key: { inline_string: keyPem } };
      writeFileSync(join(folder, "resources/cds.yaml"), JSON.stringify(plantedClusters(tls)));
    },
  });
  await pod.untilReady();
  const raw = await (await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/config_dump`)).text();
  // Envoy has it all, and prints what its API does not mark
  expect(raw).toContain(basic);
  expect(raw).toContain("planted-cluster");
  const printed = await everything(pod);
  for (const secret of [canary, basic, ticket, ...formsOfKey(keyPem)]) expect(printed).not.toContain(secret);
  expect(printed).toContain("planted-cluster");
  expect(printed).toContain("[redacted]");
}, 90_000);

/** A cluster with a certificate and its key in place, as CDS sends it. */
function plantedClusters(tlsCertificate: object): object {
  const context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
  const cluster = {
    "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    name: "planted-cluster",
    connect_timeout: "1s",
    type: "STATIC",
    load_assignment: { cluster_name: "planted-cluster", endpoints: [] },
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: { "@type": context, common_tls_context: { tls_certificates: [tlsCertificate] } },
    },
  };
  return { version_info: "1", resources: [cluster] };
}

test("without an agent Envoy's admin interface is read, and a note says so; at a given address it is an error", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_ENVOY_ADMIN: "tcp" } });
  await pod.untilReady();
  const [closed = 0] = await freePorts(1);
  const env = { PROXY_CONFIG: JSON.stringify({ statusPort: closed, proxyAdminPort: pod.ports.admin }) };
  const direct = await config(["listeners", "--port", String(pod.ports.inbound)], env);
  expect([direct.code, direct.stdout]).toEqual([
    0,
    expect.stringContaining(`127.0.0.1   ${String(pod.ports.inbound)}`),
  ]);
  expect(direct.stderr).toMatch(
    new RegExp(
      `^note: nothing responds at localhost:${String(closed)}: .*; reading Envoy's admin interface at localhost:`,
    ),
  );
  const named = await config(["listeners", "--address", String(closed)]);
  expect([named.code, named.stdout]).toEqual([1, ""]);
  expect(named.stderr).toMatch(/^Error: nothing responds at localhost:\d+: connect ECONNREFUSED/);
  const admin = await config(["log", "--envoy-admin", String(pod.ports.admin)]);
  expect([admin.code, admin.stderr, admin.stdout.includes("envoy     admin ")]).toEqual([0, "", true]);
  const neither = await config(["clusters"], {
    PROXY_CONFIG: JSON.stringify({ statusPort: closed, proxyAdminPort: closed }),
  });
  expect([neither.code, neither.stderr.split("\n").length]).toEqual([1, 3]);
}, 30_000);

test("an agent without debug pages is passed over, as any program is that is none", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_ENVOY_ADMIN: "tcp" }, args: ["--profiling=false"] });
  await pod.untilReady();
  const { env, ports } = pod;
  const usual = await config(["bootstrap"], { PROXY_CONFIG: env["PROXY_CONFIG"] ?? "" });
  expect([usual.code, usual.stdout]).toEqual([0, expect.stringMatching(/^Istio Version: /)]);
  expect(usual.stderr).toMatch(
    /^note: .*neither an agent with debug pages nor Envoy's admin interface; reading Envoy's/,
  );
  const named = await config(["bootstrap", "--address", String(ports.status)]);
  expect([named.code, named.stderr]).toEqual([1, expect.stringMatching(/^Error: .*neither an agent with debug pages/)]);
}, 30_000);

test("the output of a command is read as a file", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "dump.json");
  const cluster = { "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", name: "one", type: "STATIC" };
  const type = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump";
  writeFileSync(path, JSON.stringify({ configs: [{ "@type": type, dynamic_active_clusters: [{ cluster }] }] }));
  const script = `exec ${launcher} config clusters --file <(exec cat ${path})`;
  const { code, stdout } = await runProgram("bash", ["-c", script], { cwd: directory.path });
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^one /m)]);
});

test("an agent without Envoy is named as one", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { DISABLE_ENVOY: "true", ATTACHE_XDS_FILES: "" } });
  await eventually(
    async () => {
      const { stderr } = await config(["clusters", "--address", String(pod.ports.status)]);
      expect(stderr).toMatch(/: this agent runs without Envoy\n$/);
    },
    { withinMs: 10_000 },
  );
}, 30_000);

test("an admin interface on a Unix socket is read by who may open the socket", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_ENVOY_ADMIN: "unix" } });
  await pod.untilReady();
  const at = ["--address", String(pod.ports.status)];
  const inside = await runProgram(launcher, ["config", "clusters", ...at], { cwd: pod.directory });
  expect([inside.code, inside.stderr, inside.stdout.startsWith("SERVICE FQDN")]).toEqual([0, "", true]);
  const socket = await runProgram(launcher, ["config", "clusters", "--envoy-admin", "./etc/istio/proxy/admin.sock"], {
    cwd: pod.directory,
  });
  expect([socket.code, socket.stdout]).toEqual([0, inside.stdout]);
  const outside = await config(["clusters", ...at]);
  expect([outside.code, outside.stderr]).toEqual([1, expect.stringMatching(/admin\.sock: connect ENOENT/)]);
}, 30_000);

/**
 * Sends a dump of many clusters, however large, one after the other.
 * @param onSent called before the end of the dump is sent
 */
async function startLargeEnvoy(clusters: number, onSent: () => void) {
  const filler = "x".repeat(1_300);
  const server = createServer((request, response) => {
    if (request.url?.includes("dynamic_active_clusters") !== true) {
      response.end("{}");
      return;
    }
    const send = (next: number): void => {
      for (let index = next; index < clusters; index++) {
        const entry = { cluster: { name: `outbound|80||s${String(index)}.demo`, type: "EDS", alt_stat_name: filler } };
        if (!response.write(`${index === 0 ? '{"configs": [' : ","}${JSON.stringify(entry)}`)) {
          response.once("drain", () => {
            send(index + 1);
          });
          return;
        }
      }
      onSent();
      response.end("]}");
    };
    send(0);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** The most memory that a process has had so far. */
function peakMib(pid: number): number {
  const [, kib = "0"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${String(pid)}/status`, "utf8")) ?? [];
  return Number(kib) / 1024;
}

test("a dump of 220 MB is a table in less memory than it, and too large a document with a cure", async () => {
  let peak = 0;
  let pid = 0;
  await using envoy = await startLargeEnvoy(160_000, () => {
    peak = peakMib(pid);
  });
  const at = ["clusters", "--envoy-admin", String(envoy.port)];
  await using program = startProgram(["config", ...at], { NODE_OPTIONS: "--max-old-space-size=96" });
  pid = program.pid;
  const table = await program.exited;
  expect([table.code, table.stderr]).toEqual([0, ""]);
  expect(table.stdout.trimEnd().split("\n")).toHaveLength(160_001);
  expect(peak).toBeGreaterThan(20);
  expect(peak).toBeLessThan(250);
  pid = process.pid;
  const document = await config([...at, "-o", "json"]);
  expect([document.code, document.stdout]).toEqual([1, ""]);
  expect(document.stderr).toMatch(/is larger than 128 MiB; filter by name \(--fqdn, --name\), or print text/);
}, 90_000);

test("Ctrl-C ends the command while it opens a pipe that nobody writes to", async () => {
  await using directory = await temporaryDirectory();
  const pipe = join(directory.path, "pipe");
  await runProgram("mkfifo", [pipe]);
  await using program = startProgram(["config", "clusters", "--file", pipe]);
  await eventually(() => expect(isReading(program.pid)).toBe(true), { withinMs: 5_000 });
  program.kill("SIGINT");
  expect(await program.exited).toMatchObject({ code: 1, signal: null });
});

/** Whether the process has begun to read files: its pool of threads is there. */
function isReading(pid: number): boolean {
  const tasks = `/proc/${String(pid)}/task`;
  return readdirSync(tasks).some((task) => readFileSync(join(tasks, task, "comm"), "utf8").includes("libuv-worker"));
}
