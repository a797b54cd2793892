// SPDX-License-Identifier: Apache-2.0
import { type IpFamily, ipFamilies } from "../options.ts";
import type { KernelState } from "./kernel-state.ts";
import { isUnusedTable } from "./nft-listing.ts";
import { ProgramError, type Programs } from "./programs.ts";

/*
 * The nft variant of iptables makes a table of nftables when it gets its first rule, and leaves it behind without rules.
 * A legacy table cannot be removed.
 */

/** A table of the nft variant: `ip nat`. */
type TableOfNft = `${"ip" | "ip6"} ${string}`;

/** Tables that had something of ours. */
export function tablesWithOwn({ iptables }: KernelState): readonly TableOfNft[] {
  return tablesOf(iptables.map(({ variant, own }) => ({ variant, tables: own })));
}

export function allTables({ iptables }: KernelState): readonly TableOfNft[] {
  return tablesOf(iptables.map(({ variant, saved }) => ({ variant, tables: saved })));
}

function tablesOf(
  states: readonly {
    readonly variant: string;
    readonly tables: Readonly<Record<IpFamily, readonly { readonly name: string }[]>>;
  }[],
): readonly TableOfNft[] {
  return states
    .filter(({ variant }) => variant !== "legacy")
    .flatMap(({ tables }) =>
      ipFamilies.flatMap((family) =>
        tables[family].map(({ name }): TableOfNft => `${family === "ipv4" ? "ip" : "ip6"} ${name}`),
      ),
    );
}

/** Removes those of the tables that have no rules. One that cannot be removed, or not be looked at, has no effect. */
export async function removeUnusedTables(programs: Programs, tables: readonly TableOfNft[]): Promise<void> {
  for (const table of tables) {
    const [family = "", name = ""] = table.split(" ");
    try {
      const listing = await programs.run({ command: "nft", args: ["list", "table", family, name] });
      if (isUnusedTable(listing)) await programs.run({ command: "nft", args: ["delete", "table", family, name] });
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
    }
  }
}
