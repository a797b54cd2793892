// SPDX-License-Identifier: Apache-2.0
import { renderNftables } from "../render-nftables.ts";
import type { RuleSet } from "../rules.ts";
import { hasLegacyTables } from "./kernel-state.ts";
import { ProgramError, type Programs } from "./programs.ts";

/**
 * Adds the rules with nftables to a network namespace without any tables, which a new pod's is, by one program instead of
 * two: the transaction fails if a table of ours is there, and lists all tables.
 * @param locked the program starts before that, which takes as long as the lock, and gets its input then
 * @returns false, with nothing changed, if there is a table already, or if more than rules is needed
 */
export async function addFirstRules(programs: Programs, set: RuleSet, locked: Promise<void>): Promise<boolean> {
  if (set.routes.length > 0 || set.loopbackAddresses.length > 0 || hasLegacyTables()) return false;
  const input = firstInput(set);
  const made: readonly string[] = input.match(/(?<=^create )table .*/gm) ?? [];
  try {
    const tables = await programs.run({
      command: "nft",
      args: ["-f", "-"],
      input: locked.then(() => `list tables\n${input}`),
    });
    if (tables.split("\n").every((line) => line === "" || made.includes(line))) return true;
    const removal = made.map((table) => `delete ${table}\n`).join("");
    await programs.run({ command: "nft", args: ["-f", "-"], input: removal });
    return false;
  } catch (error) {
    if (error instanceof ProgramError && !error.isKilled) return false;
    throw error;
  }
}

/** Instead of removing tables in case that they are there, those with rules are made if none is. */
function firstInput(set: RuleSet): string {
  const text = renderNftables(set);
  const lines = text.split("\n").filter((line) => !/^(?:add|delete) table /.test(line));
  const tables = [...new Set(lines.flatMap((line) => /^add chain (inet \S+) /.exec(line)?.[1] ?? []))];
  return [...tables.map((table) => `create table ${table}`), ...lines].join("\n");
}
