// SPDX-License-Identifier: Apache-2.0
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { rawHttp } from "../../support/raw-http.ts";

interface Loss {
  readonly title: string;
  readonly lose: (pod: Pod) => Promise<void> | void;
  readonly leaf: RegExp;
}

async function stopListeners(pod: Pod, query: string): Promise<void> {
  await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/drain_listeners${query}`, { method: "POST" });
}

const losses: readonly Loss[] = [
  {
    title: "Envoy closes its inbound listener and stays LIVE",
    lose: (pod) => stopListeners(pod, "?inboundonly"),
    leaf: /^Envoy does not listen any more on inbound \(127\.0\.0\.1:\d+\)$/,
  },
  {
    title: "Envoy closes all listeners, that for readiness among them",
    lose: (pod) => stopListeners(pod, ""),
    leaf: /^Envoy does not listen any more on 0\.0\.0\.0_\d+ \(0\.0\.0\.0:\d+\), .*inbound/,
  },
  {
    title: "the control plane removes the last listener",
    lose(pod) {
      const file = join(pod.directory, "resources/lds.yaml");
      writeFileSync(`${file}.new`, 'version_info: "2"\nresources: []\n');
      renameSync(`${file}.new`, file);
    },
    leaf: /^the last listener of Envoy was removed$/,
  },
];

interface Check {
  readonly name: string;
  readonly state: string;
  readonly detail?: string;
  readonly checks?: readonly Check[];
}

async function envoyCheck(pod: Pod): Promise<Check | undefined> {
  const headers = ["Accept: application/json"];
  const { body } = await rawHttp(pod.ports.status, { target: "/healthz/ready", headers });
  return (JSON.parse(body) as { readonly checks: readonly Check[] }).checks.find(({ name }) => name === "envoy");
}

test.each(losses)("strict: when $title, the pod is not ready and the leaf says so", async ({ lose, leaf }) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_READINESS: "strict" } });
  await pod.untilReady();
  await lose(pod);
  await eventually(
    async () => {
      const { status, headers } = await rawHttp(pod.ports.status, { target: "/healthz/ready" });
      expect([status, headers.get("x-attache-pending")]).toEqual([503, "envoy"]);
    },
    { withinMs: 8_000 },
  );
  const envoy = await envoyCheck(pod);
  expect(envoy?.state).toBe("failed");
  const failed = envoy?.checks?.filter(({ state }) => state === "failed");
  expect(failed).toMatchObject([{ name: "open listeners", detail: expect.stringMatching(leaf) as string }]);
});

test.each(losses)("compatible: when $title, the pod stays ready and the tree says so", async ({ lose, leaf }) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await lose(pod);
  await eventually(
    async () => {
      const envoy = await envoyCheck(pod);
      expect([envoy?.state, envoy?.detail]).toEqual(["not-counted", expect.stringMatching(leaf)]);
    },
    { withinMs: 8_000 },
  );
  expect((await rawHttp(pod.ports.status, { target: "/healthz/ready" })).status).toBe(200);
});

test("strict: a hot restart hands the listeners over, and none is taken for lost", async () => {
  await using ca = await startFakeCa();
  const env = { ATTACHE_READINESS: "strict", ATTACHE_HOT_RESTART: "true" };
  await using pod = await startPod({ ca, proxyConfig: { drainDuration: "1s" }, env });
  await pod.untilReady();
  const answers = new Set<number>();
  pod.kill("SIGHUP");
  await eventually(
    async () => {
      const { status, headers } = await rawHttp(pod.ports.status, { target: "/healthz/ready" });
      answers.add(status);
      expect([status, headers.get("x-attache-pending")]).toEqual([200, undefined]);
      expect(pod.log()).toContain("hot restart completed");
      // the old one closes what it handed over
      expect(pod.envoyPids()).toHaveLength(1);
    },
    { withinMs: 15_000 },
  );
  const envoy = await envoyCheck(pod);
  expect(envoy?.checks?.find(({ name }) => name === "open listeners")).toMatchObject({ state: "passed", detail: "5" });
});
