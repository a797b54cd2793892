// SPDX-License-Identifier: Apache-2.0
import { NameTable_TableEntry } from "../../gen/istio/networking/nds/v1/nds.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { NamedService, NameTable } from "../../model/name-table.ts";
import { typeUrls } from "../protocol/type-url.ts";
import { valueOf, WireError, wireFields, wireType } from "../protocol/wire.ts";
import type { AgentResourceType } from "./agent-resource-type.ts";

export interface NameTableDeps {
  readonly clock: Clock;
  /** Takes each new table; the response is accepted when it resolves, and rejected when it throws. */
  readonly publish: (table: NameTable, signal: AbortSignal) => Promise<void>;
}

/** The map `table` of a NameTable. It is read one entry at a time: a table of 30,000 services must not block the loop. */
const tableField = 1;

/** Entries that are read without a pause: far below a millisecond. */
const entriesPerBlock = 200;

/**
 * The names of the mesh, for the DNS proxy (NDS). A response without a table removes the names, unless no table came
 * before it: then it is ignored. Several tables in one response are joined.
 */
export function createNameTable({ clock, publish }: NameTableDeps): AgentResourceType {
  const queue = new SerialQueue();
  let isKnown = false;
  return {
    typeUrl: typeUrls.nameTable,
    isCached: true,
    apply: (resources, signal) =>
      queue.run(async () => {
        if (resources.size === 0 && !isKnown) return;
        await publish(await parseTables(resources.values(), () => clock.delay(0, signal)), signal);
        isKnown = true;
      }),
  };
}

/** @throws WireError */
async function parseTables(tables: Iterable<Uint8Array>, pause: () => Promise<void>): Promise<NameTable> {
  const services = new Map<string, NamedService>();
  let count = 0;
  for (const table of tables) {
    for (const field of wireFields(table)) {
      if (field.number !== tableField || field.type !== wireType.bytes) continue;
      const service = parseEntry(valueOf(table, field));
      services.set(service.host, service);
      if (++count % entriesPerBlock === 0) await pause();
    }
  }
  return [...services.values()];
}

/** @throws WireError */
function parseEntry(bytes: Uint8Array): NamedService {
  const { key: host, value } = decodeEntry(bytes);
  const { ips = [], registry = "", shortname = "", namespace = "", altHosts = [] } = value ?? {};
  return { host, addresses: ips, registry, shortName: shortname, namespace, altHosts };
}

function decodeEntry(bytes: Uint8Array): NameTable_TableEntry {
  try {
    return NameTable_TableEntry.decode(bytes);
  } catch (error) {
    throw new WireError("malformed entry of a name table", error);
  }
}
