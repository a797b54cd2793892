// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { listening } from "../../support/listening.ts";
import { type Pod, type PodOptions, startPod } from "../../support/pod.ts";
import { startStatus, liveEnvoy } from "./status-fixture.ts";

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

type Fault = Omit<PodOptions, "ca"> & {
  readonly title: string;
  readonly leaf: RegExp;
  readonly inject?: (ca: FakeCa) => void;
  readonly later?: (ca: FakeCa, pod: Pod) => Promise<void> | void;
};

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
    leaf: /^admin interface: .*no answer/,
  },
  {
    title: "expired certificate",
    later: async (ca, pod) => {
      await pod.untilReady();
      ca.set({ kind: "hang" });
    },
    leaf: /^identity: .*expired/,
  },
];

test.each(faults)("$title has its own leaf", async ({ inject, later, leaf, title, ...options }) => {
  await using ca = await startFakeCa(title === "expired certificate" ? { lifetimeMs: 4_000 } : {});
  inject?.(ca);
  await using pod = await startPod({ ca, ...options });
  await later?.(ca, pod);
  await eventually(
    async () => {
      const leaves = await leavesOf(pod.ports.status);
      expect(leaves).toContainEqual(expect.stringMatching(leaf));
      // each fault shows in its own leaf and in no other fault's
      const others = faults.filter((other) => other.title !== title && leaves.some((text) => other.leaf.test(text)));
      expect(others.map((other) => other.title)).toEqual([]);
    },
    { withinMs: 10_000 },
  );
});

test("workers that have not started and a DNS proxy without its table have leaves of their own", async () => {
  await using workers = await startStatus(
    {},
    { envoy: { read: () => Promise.resolve({ ...liveEnvoy, workersStarted: false }) } },
  );
  expect(await leavesOf(workers.port)).toEqual(["workers: workers have not yet started"]);
  await using dns = await startStatus();
  dns.readiness.hold("DNS", "DNS capture is on and no name table was received");
  expect(await leavesOf(dns.port)).toEqual(["DNS: DNS capture is on and no name table was received"]);
});

test("a taken port, an Envoy that crashes and a probe that is misconfigured end the agent, each with its own words", async () => {
  await using ca = await startFakeCa();
  await using holder = await listening(createServer(), "0.0.0.0");
  const crash: PodOptions["prepare"] = ({ directory }) => {
    writeFileSync(join(directory, "crash"), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
  };
  const probers = JSON.stringify({ "/app-health/a/livez": { httpGet: { port: "http" } } });
  const cases = [
    { proxyConfig: { statusPort: holder.port }, said: /listen on status port \d+: .*process \d+/ },
    { proxyConfig: { binaryPath: "./crash" }, prepare: crash, said: /Envoy exited|exit(ed)? (with )?(status|code) 7/i },
    {
      env: { ISTIO_KUBE_APP_PROBERS: probers },
      said: /ISTIO_KUBE_APP_PROBERS, member \/app-health\/a\/livez.*must be int type/,
    },
  ];
  for (const { said, ...options } of cases) {
    await using pod = await startPod({ ca, ...options });
    expect((await pod.exited).code).not.toBe(0);
    const log = pod.log();
    expect(log).toMatch(said);
    expect(cases.filter((other) => other.said !== said && other.said.test(log))).toEqual([]);
  }
});
