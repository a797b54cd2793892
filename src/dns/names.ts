// SPDX-License-Identifier: Apache-2.0
import { ObservableValue } from "../lib/async/observable-value.ts";
import { Semaphore } from "../lib/async/semaphore.ts";
import { TimeSlice } from "../lib/async/time-slice.ts";
import type { Deps } from "../lib/deps.ts";
import { formatIp } from "../lib/net/ip-address.ts";
import { escapeControls } from "../lib/printable-text.ts";
import type { Budgets } from "../model/limits.ts";
import type { NameTableUpdate } from "../model/name-table.ts";
import type { ProxyDomain } from "./dns-config.ts";
import type { LookupTable } from "./lookup-table.ts";
import { LookupTableBuilder } from "./lookup-table-builder.ts";

/** The current names of the mesh. */
export interface Names {
  /** Empty before the first table. */
  readonly lookup: ObservableValue<LookupTable>;
  /** Starts the next table; waits for an update that is in progress. */
  begin(signal: AbortSignal): Promise<NameTableUpdate>;
  /** As pilot-agent shows it, in pieces of JSON; undefined before the first table. */
  debugTable(): AsyncIterable<string> | undefined;
}

export interface NamesDeps extends Pick<Deps, "clock" | "log" | "random"> {
  readonly budgets: Budgets;
}

/** With a collection of the whole heap in the same turn, which large tables cause, below 10 ms. */
const sliceMs = 1;

export function createNames(domain: ProxyDomain, { clock, log, random, budgets }: NamesDeps): Names {
  const lookup = new ObservableValue<LookupTable>();
  const turn = new Semaphore(1);
  return {
    lookup,
    async begin(signal) {
      const held = await turn.acquire(signal);
      const previous = lookup.current;
      const builder = new LookupTableBuilder({ domain, seed: Math.floor(random() * 2 ** 32) }, budgets, previous);
      let isOpen = true;
      return {
        add: builder.add.bind(builder),
        endResource: builder.endResource.bind(builder),
        async commit(kept) {
          const slice = new TimeSlice(clock, signal, sliceMs);
          await builder.keep(kept, slice);
          isOpen = false;
          const built = await builder.build(slice);
          if (built === previous) return;
          lookup.set(built);
          previous?.free(built);
          log.debug("name table updated", { services: built.store.count });
        },
        [Symbol.dispose]: () => {
          if (isOpen) builder.discard();
          isOpen = false;
          held[Symbol.dispose]();
        },
      };
    },
    debugTable: () => (lookup.current === undefined ? undefined : debugTable(lookup.current, new TimeSlice(clock))),
  };
}

/** Pieces of about this size; a large table would not fit into one text. */
const pieceLength = 16 * 1024;

/** As in pilot-agent's `/debug/ndsz`; empty fields are left out. */
type DebugEntry = Readonly<Record<string, DebugValue>>;
type DebugValue = string | readonly string[];

/**
 * The table as it came, and every name that is resolved, with its trailing dot; each with its registry.
 * @throws Error when another table replaces this one meanwhile
 * Source: Istio's agent, `/debug/ndsz`
 */
export async function* debugTable(lookup: LookupTable, slice: TimeSlice): AsyncGenerator<string, void, undefined> {
  let piece = '{\n  "table": {';
  let separator = "";
  for (const [name, entry] of debugEntries(lookup)) {
    const fields = Object.fromEntries(Object.entries<DebugValue>(entry).filter(([, value]) => value.length > 0));
    const lines = JSON.stringify(fields, undefined, 2).split("\n");
    const json = lines.map(escapeControls).join("\n    ");
    piece += `${separator}\n    ${escapeControls(JSON.stringify(name))}: ${json}`;
    separator = ",";
    if (piece.length >= pieceLength) {
      yield piece;
      piece = "";
    }
    if (slice.isOver) await slice.next();
    if (lookup.store.isFreed) throw new Error("the name table has changed while it was shown");
  }
  yield `${piece}${separator === "" ? "" : "\n  "}}\n}\n`;
}

function* debugEntries(lookup: LookupTable): Generator<readonly [string, DebugEntry], void, undefined> {
  const { store } = lookup;
  for (let id = 0; id < store.count; id++) {
    if (!store.has(id)) continue;
    const { host, addresses, registry, shortName, namespace, altHosts } = store.service(id);
    yield [host, { ips: addresses, registry, shortname: shortName, namespace, alt_hosts: altHosts }];
    const ips = store.addresses(id).map(formatIp);
    for (const name of lookup.namesOf(id)) {
      // A host may be written like the name itself.
      if (lookup.idOfHost(name) === undefined) yield [name, { ips, registry }];
    }
  }
}
