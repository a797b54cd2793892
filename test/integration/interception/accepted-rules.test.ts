// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { buildRuleSet } from "../../../src/interception/index.ts";
import { renderIptablesRestore } from "../../../src/interception/render-iptables.ts";
import { renderNftables } from "../../../src/interception/render-nftables.ts";
import { fc } from "../../support/properties.ts";
import { randomInterception } from "../../support/random-interception.ts";
import { machineOf, parseOptions } from "../../support/recorded-interception.ts";
import { runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** 2,000 sets take minutes: `ATTACHE_INTERCEPTION_SETS=2000`. */
const sets = Number(process.env["ATTACHE_INTERCEPTION_SETS"] ?? 60);
const timeoutMs = 60_000 + sets * 1_000;

/**
 * Each file is checked first, then applied to an empty kernel. A transaction of nft is applied over the one before, which
 * it replaces. A failure prints the file's name and what the program said.
 */
const script = `
PATH=$PATH:/usr/sbin:/sbin
empty() { printf '*mangle\\nCOMMIT\\n*nat\\nCOMMIT\\n*raw\\nCOMMIT\\n' | "$1"; }
try() { "$@" <"$file" >out 2>&1 || { echo "$file: $*"; cat out; } ; }
ip link set lo up
for file in *.ipv4; do try iptables-restore --noflush --test; try iptables-restore --noflush; empty iptables-restore; done
for file in *.ipv6; do try ip6tables-restore --noflush --test; try ip6tables-restore --noflush; empty ip6tables-restore; done
for file in *.nft; do try nft --check -f -; try nft -f -; done
`;
const mayMakeNetworks = spawnSync("unshare", ["-n", "true"]).status === 0;

describe.runIf(mayMakeNetworks)("in a network namespace of its own", () => {
  test(
    `the kernel accepts the rules of ${String(sets)} random option sets`,
    async () => {
      await using directory = await temporaryDirectory();
      const inputs = fc.sample(randomInterception, sets);
      for (const [index, { args, env, ...machine }] of inputs.entries()) {
        const set = buildRuleSet(parseOptions(args, env, machineOf(machine)).capture);
        const file = join(directory.path, String(index));
        for (const family of set.families) writeFileSync(`${file}.${family}`, renderIptablesRestore(set, family));
        writeFileSync(`${file}.nft`, renderNftables(set));
      }
      const { code, stdout, stderr } = await runProgram("unshare", ["-n", "sh", "-c", script], { cwd: directory.path });
      const failed = [...new Set(stdout.match(/^\d+(?=\.(?:ipv4|ipv6|nft): )/gm))];
      expect(stdout, failed.map((index) => JSON.stringify(inputs[Number(index)])).join("\n")).toBe("");
      expect([code, stderr]).toEqual([0, ""]);
    },
    timeoutMs,
  );
});
