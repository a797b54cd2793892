// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { renderResponse } from "../../src/xds/protocol/response.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { bytesField, textField } from "../../src/xds/protocol/wire.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { eventually } from "../../test/support/eventually.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { testAuthority } from "../../test/support/test-authority.ts";
import type { Figure } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { type MeshServer, measure, type MeshStream, openStream, startMeshServer } from "./mesh-under-test.ts";

export const name = "large-meshes";

const names = Array.from(
  { length: 20_000 },
  (_, index) => `outbound|8080||service-${String(index)}.namespace-${String(index % 100)}.svc.cluster.local`,
);
const roots = 200;
const endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const node = Buffer.concat([textField(1, "sidecar~10.0.0.1~a.b~b.svc"), textField(6, "envoy")]);

/**
 * A subscription to 20,000 names, with its replay after a reconnection, and trust bundles with 200 roots. Asserts the names
 * that the control plane has been asked for, both times, and the resources that the client has received.
 */
export async function run(): Promise<readonly Figure[]> {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  await using server = await startMeshServer(join(directory.path, "XDS"), controlPlane.port);
  await using stream = await openStream(server);
  await stream.subscribe(typeUrls.listener, { node });
  await untilSeen(controlPlane, typeUrls.proxyConfig, 1);
  return [...(await measureNames(controlPlane, server, stream)), ...(await measureRoots(controlPlane, server))];
}

async function measureNames(
  controlPlane: FakeControlPlane,
  server: MeshServer,
  stream: MeshStream,
): Promise<readonly Figure[]> {
  const subscribing = await measure(server, async () => {
    await stream.subscribe(endpoints, { subscribe: names });
    await untilSeen(controlPlane, endpoints, 1);
  });
  assertLoad("names subscribed", namesOfLast(controlPlane), names.length, 1);
  let received = 0;
  const accepting = await measure(server, async () => {
    controlPlane.set(
      endpoints,
      names.map((name) => ({ name, version: "2026-11-30T08:00:00Z/1", value: textField(1, name) })),
    );
    const { nonce, resources } = await stream.next();
    received = resources.length;
    await stream.subscribe(endpoints, { nonce });
    await untilSeen(controlPlane, endpoints, 2);
  });
  assertLoad("resources received", received, names.length, 1);
  const replaying = await measure(server, async () => {
    controlPlane.end();
    await untilSeen(controlPlane, endpoints, 3);
  });
  assertLoad("names replayed", namesOfLast(controlPlane), names.length, 1);
  return [
    ...figures("20,000 names subscribed", subscribing, 16),
    ...figures("20,000 resources accepted", accepting, 24),
    ...figures("20,000 names replayed after a reconnection", replaying, 24),
  ];
}

/** Of the latest request for endpoints. */
function namesOfLast(controlPlane: FakeControlPlane): number {
  const last = controlPlane.seen(endpoints).at(-1)?.request;
  return last !== undefined && "resourceNamesSubscribe" in last ? last.resourceNamesSubscribe.length : 0;
}

async function measureRoots(controlPlane: FakeControlPlane, server: MeshServer): Promise<readonly Figure[]> {
  const pems = Array.from({ length: roots }, () => testAuthority("root", Date.now()).rootPem);
  const value = Buffer.concat(pems.map((pem) => bytesField(34, Buffer.from(pem))));
  const any = Buffer.concat([textField(1, typeUrls.proxyConfig), bytesField(2, value)]);
  const resources = [{ name: "mesh", version: "1", any }];
  const facts = { typeUrl: typeUrls.proxyConfig, version: "1", nonce: "roots", resources, removed: [] };
  const before = controlPlane.seen(typeUrls.proxyConfig).length;
  const receiving = await measure(server, async () => {
    controlPlane.sendRaw(renderResponse(facts, "delta"));
    await untilSeen(controlPlane, typeUrls.proxyConfig, before + 1);
  });
  const { errorDetail } = controlPlane.seen(typeUrls.proxyConfig).at(-1)?.request ?? {};
  if (errorDetail !== undefined) throw new Error(`rejected: ${errorDetail.message}`);
  return figures("trust bundles with 200 roots", receiving, 8);
}

function figures(what: string, { ms, blockMs, peak }: Awaited<ReturnType<typeof measure>>, limitMb: number): Figure[] {
  return [
    { name: `${what}: until the control plane has the request`, value: ms, unit: "ms" },
    { name: `${what}: longest turn of the event loop, processor time`, value: blockMs, unit: "ms", limit: 10 },
    { name: `${what}: private memory above before, peak`, value: peak, unit: "MB", limit: limitMb },
  ];
}

async function untilSeen(controlPlane: FakeControlPlane, typeUrl: string, count: number): Promise<void> {
  await eventually(
    () => {
      if (controlPlane.seen(typeUrl).length < count) throw new Error(`${typeUrl} is not requested`);
    },
    { withinMs: 30_000, everyMs: 2 },
  );
}
