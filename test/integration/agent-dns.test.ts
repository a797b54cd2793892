// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { dnsEnvironment } from "../support/dns-environment.ts";
import { eventually } from "../support/eventually.ts";
import { kubernetes, nameTableResource } from "../support/name-tables.ts";
import { type Pod, startPod } from "../support/pod.ts";

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
  "%s: a pod with DNS capture is not ready until the first name table, which an empty answer is not; an empty table is",
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
    await eventually(() => expect(controlPlane.seen(typeUrls.nameTable)).toHaveLength(2), { withinMs: 2_000 });
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

test("without DNS capture nobody asks for a name table, and there is none to show", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await controlPlaneWithoutNames();
  await using pod = await startPod({ ca, ...podBehind(controlPlane, {}) });
  await pod.untilReady();
  expect(controlPlane.seen(typeUrls.nameTable)).toEqual([]);
  expect(await textOf(pod, "/debug/ndsz")).toEqual({ status: 404, text: "{}" });
});
