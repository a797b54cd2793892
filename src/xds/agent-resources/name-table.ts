// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { NamedService, NameTable } from "../../model/name-table.ts";
import type { OwnType } from "./agent-resource-type.ts";
import { typeUrls } from "../protocol/type-url.ts";
import { textOf, valueOf, wireFields, wireType } from "../protocol/wire.ts";

export interface NameTableDeps {
  readonly clock: Clock;
  /** Takes each new table; the answer is accepted when it is through. Throwing refuses the answer. */
  readonly publish: (table: NameTable, signal: AbortSignal) => Promise<void>;
}

/** Services that are read without giving others a turn: far below a millisecond. */
const atOnce = 200;

/**
 * The names of the mesh, for the DNS proxy. An answer without a table takes back the one of before; before the first
 * table it says nothing. More than one table are one.
 * Source: Istio's NameTable (istio.networking.nds.v1): map `table` 1; NameInfo: ips 1, registry 2, shortname 3,
 * namespace 4, alt_hosts 5
 */
export function createNameTable({ clock, publish }: NameTableDeps): OwnType {
  const turns = new SerialQueue();
  let isKnown = false;
  return {
    typeUrl: typeUrls.nameTable,
    isKept: true,
    apply: (resources, signal) =>
      turns.run(async () => {
        if (resources.size === 0 && !isKnown) return;
        await publish(await parseTables(resources.values(), () => clock.delay(0, signal)), signal);
        isKnown = true;
      }),
  };
}

/** @throws WireError */
async function parseTables(tables: Iterable<Uint8Array>, pause: () => Promise<void>): Promise<NameTable> {
  const services = new Map<string, NamedService>();
  let read = 0;
  for (const table of tables) {
    for (const field of wireFields(table)) {
      if (field.number !== 1 || field.type !== wireType.bytes) continue;
      const service = parseEntry(valueOf(table, field));
      services.set(service.host, service);
      if (++read % atOnce === 0) await pause();
    }
  }
  return [...services.values()];
}

/** @throws WireError */
function parseEntry(entry: Uint8Array): NamedService {
  let host = "";
  let info: Uint8Array = new Uint8Array(0);
  for (const field of wireFields(entry)) {
    if (field.type !== wireType.bytes) continue;
    if (field.number === 1) host = textOf(entry, field);
    else if (field.number === 2) info = valueOf(entry, field);
  }
  return { host, ...parseInfo(info) };
}

function parseInfo(info: Uint8Array): Omit<NamedService, "host"> {
  const found = { registry: "", shortName: "", namespace: "" };
  const addresses: string[] = [];
  const altHosts: string[] = [];
  for (const field of wireFields(info)) {
    if (field.type !== wireType.bytes) continue;
    const text = textOf(info, field);
    if (field.number === 1) addresses.push(text);
    else if (field.number === 2) found.registry = text;
    else if (field.number === 3) found.shortName = text;
    else if (field.number === 4) found.namespace = text;
    else if (field.number === 5) altHosts.push(text);
  }
  return { ...found, addresses, altHosts };
}
