// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { renderResponse } from "../../src/xds/protocol/response.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { bytesField, textField } from "../../src/xds/protocol/wire.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { eventually } from "../../test/support/eventually.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { privateMegabytes } from "./processes.ts";
import type { Figure } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { measure, openStream, startMeshServer } from "./mesh-under-test.ts";

export const name = "name-table";

const services = 100_000;
const addressesPerService = 5;

/**
 * The name table of the largest mesh: 100,000 services and 500,000 addresses; and versions of it with changed parts. Asserts
 * that each is accepted, and that all services are in the agent's table.
 */
export async function run(): Promise<readonly Figure[]> {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  await using server = await startMeshServer(join(directory.path, "XDS"), controlPlane.port);
  await using stream = await openStream(server);
  await stream.subscribe(typeUrls.cluster);
  await stream.subscribe(typeUrls.listener);
  await eventually(
    () => {
      if (controlPlane.seen(typeUrls.nameTable).length === 0) throw new Error("the name table is not subscribed to");
    },
    { withinMs: 10_000 },
  );
  await push(controlPlane, tableOf(0), "empty");
  await server.read();
  const rest = privateMegabytes(server.pid);
  const first = await measure(server, () => push(controlPlane, tableOf(services), "first"));
  const settled = privateMegabytes(server.pid);
  const next = await measure(server, () => push(controlPlane, tableOf(services, 10), "next"));
  const other = await measure(server, () => push(controlPlane, tableOf(services, 1), "other"));
  for (const { services: known } of [first, next, other]) assertLoad("services in the name table", known, services, 1);
  const block = "longest turn of the event loop, processor time";
  return [
    { name: "first table: until it is accepted", value: first.ms, unit: "ms" },
    { name: `first table: ${block}`, value: first.blockMs, unit: "ms", limit: 10 },
    { name: "first table: private memory above rest, peak", value: first.peak, unit: "MB", limit: 30 },
    { name: "first table: private memory above rest, afterwards", value: settled - rest, unit: "MB", limit: 22 },
    { name: "a tenth changes: until it is accepted", value: next.ms, unit: "ms" },
    { name: `a tenth changes: ${block}`, value: next.blockMs, unit: "ms", limit: 10 },
    { name: "a tenth changes: private memory above the first table, peak", value: next.peak, unit: "MB", limit: 12 },
    { name: `everything changes: ${block}`, value: other.blockMs, unit: "ms", limit: 10 },
    { name: "everything changes: private memory above before, peak", value: other.peak, unit: "MB", limit: 24 },
  ];
}

/** @param changedEvery of so many services one has other addresses; 0 changes none */
function tableOf(count: number, changedEvery = 0): Uint8Array {
  const entries: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const [service, namespace] = [`service-${String(index)}`, `namespace-${String(index % 100)}`];
    const isChanged = changedEvery > 0 && index % changedEvery === 0;
    const addresses = Array.from({ length: addressesPerService }, (_, of) => {
      const number = index * addressesPerService + of;
      return `${isChanged ? "11" : "10"}.${String(number >> 16)}.${String((number >> 8) & 255)}.${String(number & 255)}`;
    });
    const info = Buffer.concat([
      ...addresses.map((address) => textField(1, address)),
      textField(2, "Kubernetes"),
      textField(3, service),
      textField(4, namespace),
    ]);
    const host = textField(1, `${service}.${namespace}.svc.cluster.local`);
    entries.push(bytesField(1, Buffer.concat([host, bytesField(2, info)])));
  }
  return Buffer.concat(entries);
}

async function push(controlPlane: FakeControlPlane, table: Uint8Array, nonce: string): Promise<void> {
  const { nameTable } = typeUrls;
  const any = Buffer.concat([textField(1, nameTable), bytesField(2, table)]);
  const resources = [{ name: "", version: nonce, any }];
  controlPlane.sendRaw(renderResponse({ typeUrl: nameTable, version: nonce, nonce, resources, removed: [] }, "delta"));
  await eventually(
    () => {
      const { errorDetail, responseNonce } = controlPlane.seen(nameTable).at(-1)?.request ?? {};
      if (errorDetail !== undefined) throw new Error(`rejected: ${errorDetail.message}`);
      if (responseNonce !== nonce) throw new Error("not accepted yet");
    },
    { withinMs: 60_000, everyMs: 5 },
  );
}
