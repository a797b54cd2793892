// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { ObservableValue } from "../lib/async/observable-value.ts";
import type { NameTable } from "../model/name-table.ts";
import { debugTable } from "./debug-table.ts";
import type { ProxyDomain } from "./dns-config.ts";
import { buildLookupTable, type LookupTable } from "./lookup-table.ts";

/** The names of the mesh as they stand. */
export interface Names {
  /** Nothing before the first table. */
  readonly lookup: ObservableValue<LookupTable>;
  /** Answers from this table from now on, in one step. */
  replace(table: NameTable, signal: AbortSignal): Promise<void>;
  /** As pilot-agent shows it; undefined before the first table. */
  debugTable(): unknown;
}

export function createNames(domain: ProxyDomain, { clock, log }: Pick<Deps, "clock" | "log">): Names {
  const lookup = new ObservableValue<LookupTable>();
  return {
    lookup,
    async replace(table, signal) {
      const built = await buildLookupTable(table, domain, () => clock.delay(0, signal));
      lookup.set(built);
      log.info("name table taken over", { services: table.length, names: built.names().size });
    },
    debugTable: () => (lookup.current === undefined ? undefined : debugTable(lookup.current)),
  };
}
