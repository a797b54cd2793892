// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { dnsEnvironment } from "../../support/dns-environment.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { listening } from "../../support/listening.ts";
import { type Pod, type PodOptions, startPod } from "../../support/pod.ts";

interface Leaf {
  readonly name: string;
  readonly state: string;
  readonly detail?: string;
  readonly checks?: readonly Leaf[];
}

/** The innermost checks that fail. */
function failedLeaves({ checks = [] }: { readonly checks?: readonly Leaf[] }): readonly string[] {
  return checks
    .filter(({ state }) => state === "failed")
    .flatMap((check) => {
      const below = failedLeaves(check);
      return below.length > 0 ? below : [`${check.name}: ${check.detail ?? ""}`];
    });
}

async function leavesOf(port: number): Promise<readonly string[]> {
  const headers = { Accept: "application/json" };
  const answer = await fetch(`http://127.0.0.1:${String(port)}/healthz/ready`, { headers });
  return failedLeaves((await answer.json()) as { readonly checks: readonly Leaf[] });
}

/** The same of an agent that has ended before it was ready, from the message that it leaves to Kubernetes. */
function leavesLeft(directory: string): readonly string[] {
  const message = readFileSync(join(directory, "message"), "utf8");
  return Array.from(message.matchAll(/^ *\[-\] (.*)$/gm), (match) => match[1] ?? "");
}

type Fault = Omit<PodOptions, "ca"> & {
  readonly title: string;
  readonly leaf: RegExp;
  readonly inject?: (ca: FakeCa) => void;
  readonly later?: (ca: FakeCa, pod: Pod) => Promise<void> | void;
  /** The fault ends the agent, whose tree is in its termination message. */
  readonly ends?: boolean;
};

const placeProgram =
  (text: string): NonNullable<PodOptions["prepare"]> =>
  ({ directory }) => {
    writeFileSync(join(directory, "program"), text, { mode: 0o755 });
  };

/** A listener whose routes never come: Envoy accepts it, and waits for them before it starts its workers. */
const listenerThatWaits = `version_info: "1"
resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: waits
    address: { pipe: { path: waits } }
    filter_chains:
      - filters:
          - name: envoy.filters.network.http_connection_manager
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: waits
              http_filters:
                - name: envoy.filters.http.router
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              rds:
                route_config_name: never
                config_source:
                  resource_api_version: V3
                  initial_fetch_timeout: 0s
                  api_config_source:
                    api_type: GRPC
                    transport_api_version: V3
                    grpc_services: [{ envoy_grpc: { cluster_name: sds-grpc } }]
`;

const holder = await listening(createServer(), "0.0.0.0");
afterAll(() => holder[Symbol.asyncDispose]());

const faults: readonly Fault[] = [
  { title: "no token", token: "", leaf: /^identity: .*istio-token/ },
  { title: "CA down", env: { CA_ADDR: "localhost:1" }, leaf: /^identity: .*(ECONNREFUSED|unreachable)/ },
  {
    title: "CA refuses",
    inject: (ca) => {
      ca.set({ kind: "refuse", status: "RESOURCE_EXHAUSTED" });
    },
    leaf: /^identity: .*refused on demand/,
  },
  {
    title: "control plane down",
    env: { ATTACHE_XDS_FILES: "" },
    proxyConfig: { discoveryAddress: "localhost:1" },
    leaf: /^clusters \(CDS\): no update was received/,
  },
  {
    title: "listener refused",
    prepare: ({ directory }) => {
      const listener = '{"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: bad}';
      writeFileSync(join(directory, "resources/lds.yaml"), `version_info: "1"\nresources: [${listener}]\n`);
    },
    leaf: /^listeners \(LDS\): every update was rejected/,
  },
  {
    title: "admin hangs",
    env: { ATTACHE_READINESS: "strict" },
    later: async (_ca, pod) => {
      await pod.untilReady();
      for (const pid of pod.envoyPids()) process.kill(pid, "SIGSTOP");
    },
    leaf: /^admin interface: .*accepts connections, but does not respond/,
  },
  {
    title: "expired certificate",
    later: async (ca, pod) => {
      await pod.untilReady();
      ca.set({ kind: "hang" });
    },
    leaf: /^identity: .*expired/,
  },
  {
    title: "workers not started",
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "resources/lds.yaml"), listenerThatWaits);
    },
    leaf: /^workers: workers have not yet started: Envoy waits for .*Rds.* never/,
  },
  {
    title: "port taken",
    proxyConfig: { statusPort: holder.port },
    leaf: /^AGENT_STATUS_PORT: listen on status port \d+: .*process \d+/,
    ends: true,
  },
  {
    title: "Envoy crash loop",
    env: { ATTACHE_ENVOY_RESTARTS: "100" },
    proxyConfig: { binaryPath: "./program" },
    prepare: placeProgram(`#!/bin/sh\nexec ${envoyBinary()} "$@" --no-such-argument\n`),
    leaf: /^process: Envoy failed with exit code 1 and is not up again; failures so far: \d+/,
  },
  {
    title: "app probe misconfigured",
    env: {
      ISTIO_KUBE_APP_PROBERS: JSON.stringify({ "/app-health/a/livez": { httpGet: { port: "http" } } }),
    },
    leaf: /^AGENT_CONFIG: .*ISTIO_KUBE_APP_PROBERS, member \/app-health\/a\/livez.*must be int type/,
    ends: true,
  },
];

const dnsFault = { title: "DNS without table", leaf: /^dns: .*DNS lookup table is not ready yet/ };

/** The leaf that each fault was seen to have. */
const seen = new Map<string, string>();

/** Each fault shows in its own leaf and in no other fault's. */
function expectOwnLeaf({ title, leaf }: Pick<Fault, "title" | "leaf">, leaves: readonly string[]): void {
  expect(leaves).toContainEqual(expect.stringMatching(leaf));
  const others = [...faults, dnsFault].filter(
    (other) => other.title !== title && leaves.some((text) => other.leaf.test(text)),
  );
  expect(others.map((other) => other.title)).toEqual([]);
  seen.set(title, leaves.find((text) => leaf.test(text)) ?? "");
}

test.each(faults)("$title has its own leaf", async ({ inject, later, ends = false, ...fault }) => {
  const { title, leaf, env, ...options } = fault;
  await using ca = await startFakeCa(title === "expired certificate" ? { lifetimeMs: 4_000 } : {});
  inject?.(ca);
  await using pod = await startPod({ ca, ...options, env: { ATTACHE_TERMINATION_MESSAGE_PATH: "./message", ...env } });
  if (ends) {
    expect((await pod.exited).code).not.toBe(0);
    expectOwnLeaf({ title, leaf }, leavesLeft(pod.directory));
    return;
  }
  await later?.(ca, pod);
  await eventually(
    async () => {
      expectOwnLeaf({ title, leaf }, await leavesOf(pod.ports.status));
    },
    { withinMs: 10_000 },
  );
});

test("DNS without table has its own leaf", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  for (const typeUrl of [typeUrls.listener, typeUrls.cluster]) controlPlane.set(typeUrl, []);
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  const env = { ATTACHE_XDS_FILES: "", ...(await dnsEnvironment()) };
  await using pod = await startPod({ ca, env, proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" } });
  await eventually(
    async () => {
      const leaves = await leavesOf(pod.ports.status);
      expect(leaves).toHaveLength(1);
      expectOwnLeaf(dnsFault, leaves);
    },
    { withinMs: 10_000 },
  );
});

test("twelve faults have twelve different leaves", () => {
  expect([...seen.keys()].sort()).toEqual([...faults, dnsFault].map(({ title }) => title).sort());
  expect(new Set(seen.values()).size).toBe(12);
});

test("an Envoy that crashes once too often ends the agent, which tells so beside what it still waited for", async () => {
  await using ca = await startFakeCa();
  const env = { CA_ADDR: "localhost:1", ATTACHE_ENVOY_RESTARTS: "1", ATTACHE_TERMINATION_MESSAGE_PATH: "./message" };
  const prepare = placeProgram("#!/bin/sh\nexit 7\n");
  await using pod = await startPod({ ca, env, prepare, proxyConfig: { binaryPath: "./program" } });
  expect((await pod.exited).code).toBe(7);
  const leaves = leavesLeft(pod.directory);
  expect(leaves[0]).toMatch(/Envoy failed to start with exit code 7 after 1 restart/);
  expect(leaves.slice(1)).toContainEqual(expect.stringMatching(/^identity: /));
});

test("an Envoy that dies before it was ready leaves its part of the tree too, as it answered last", async () => {
  await using ca = await startFakeCa();
  const env = { ATTACHE_XDS_FILES: "", ATTACHE_TERMINATION_MESSAGE_PATH: "./message" };
  await using pod = await startPod({ ca, env, proxyConfig: { discoveryAddress: "localhost:1" } });
  await eventually(
    async () => {
      expect(await leavesOf(pod.ports.status)).toContainEqual(expect.stringMatching(/^clusters \(CDS\): /));
    },
    { withinMs: 10_000 },
  );
  for (const pid of pod.envoyPids()) process.kill(pid, "SIGSEGV");
  expect((await pod.exited).code).toBe(139);
  expect(leavesLeft(pod.directory)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/SIGSEGV/),
      expect.stringMatching(/^envoy: config not received from XDS server/),
      expect.stringMatching(/^clusters \(CDS\): no update was received/),
    ]),
  );
});
