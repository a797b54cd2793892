// SPDX-License-Identifier: Apache-2.0
import { beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../../src/interception/options.ts";
import { expectedRules } from "../../support/interception-differences.ts";
import { asTransaction, normalNftables, normalSaved } from "../../support/interception-text.ts";
import type { KernelResult } from "../../support/kernel-rules-program.ts";
import { type RecordedCase, recordedCases } from "../../support/recorded-interception.ts";
import { mayMakeNetworks, runKernelTasks } from "../../support/run-kernel-tasks.ts";

/** Nothing to apply: a cleanup, and an error before anything is done. */
const special = ["19-cleanup-only-clean-host", "23-owner-groups-unknown-name"];
const cases = recordedCases.filter(({ name }) => !special.includes(name));
/** The reference captures both families only with an option. */
const oneFamily = ["22-dual-without-dual-stack-flag"];
/** IPv6 is captured for its DNS server. */
const moreIpv6 = ["29-v6-resolver-on-v4-host"];

const timeoutMs = 240_000;

async function applyAll(backend: Backend): Promise<ReadonlyMap<string, KernelResult>> {
  const tasks = cases.map((recorded) => ({ kind: "apply" as const, backend, options: optionsOf(recorded) }));
  const results = await runKernelTasks(tasks);
  return new Map(results.map((result, index) => [cases[index]?.name ?? "", result]));
}

function optionsOf({
  name,
  args,
  env,
  addresses,
  resolvConf,
}: RecordedCase): Pick<RecordedCase, "args" | "env" | "addresses" | "resolvConf"> {
  return { args: oneFamily.includes(name) ? [...args, "--dual-stack=false"] : args, env, addresses, resolvConf };
}

const linesOf = (text = ""): readonly string[] => text.split("\n").filter((line) => line !== "");

function ourNftables(lines: readonly string[]): ReturnType<typeof normalNftables> {
  return normalNftables(asTransaction(lines));
}

describe.runIf(mayMakeNetworks)("in a network namespace", () => {
  describe.each(["nft", "legacy"] as const)("with iptables-%s", (binary) => {
    let results: ReadonlyMap<string, KernelResult> = new Map();
    beforeAll(async () => {
      results = await applyAll({ kind: "iptables", binary });
    }, timeoutMs);

    test.each(cases)("$name has the recorded rules", (recorded) => {
      const { applied } = results.get(recorded.name) ?? {};
      const saved = (family: "ipv4" | "ipv6"): readonly string[] =>
        normalSaved(expectedRules(recorded, "iptables", recorded.section(`saved ${family}`)));
      const legacy = linesOf(applied?.legacy)
        .join("\n")
        .split(/(?<=COMMIT)\n(?=\*)/);
      const found = binary === "nft" ? [applied?.ipv4, applied?.ipv6] : splitFamilies(legacy);
      expect(normalSaved(linesOf(found[0]))).toEqual(saved("ipv4"));
      if (!moreIpv6.includes(recorded.name)) expect(normalSaved(linesOf(found[1]))).toEqual(saved("ipv6"));
    });

    test.each(cases.filter(({ name }) => !moreIpv6.includes(name)))("$name has the recorded routes", (recorded) => {
      expect(routeLines(results.get(recorded.name)?.applied)).toEqual(recordedRoutes(recorded));
    });

    test.each(cases)("$name is left alone by a second run, and removed without a trace", ({ name }) => {
      const { before, applied, again, cleaned } = results.get(name) ?? {};
      expect(again).toEqual(["none", applied]);
      expect({ ...cleaned, legacy: withoutEmpty(cleaned?.legacy) }).toEqual({
        ...before,
        legacy: withoutEmpty(before?.legacy),
      });
    });
  });

  describe("with nftables", () => {
    let results: ReadonlyMap<string, KernelResult> = new Map();
    beforeAll(async () => {
      results = await applyAll({ kind: "nftables" });
    }, timeoutMs);

    test.each(cases.filter(({ exitCodes }) => exitCodes.nftables === 0))("$name has the recorded rules", (recorded) => {
      const listing = asTransaction(recorded.section("nftables ruleset"));
      expect(ourNftables(linesOf(results.get(recorded.name)?.applied.nftables))).toEqual(
        normalNftables(expectedRules(recorded, "nftables", listing)),
      );
    });

    test.each(cases.filter(({ name }) => !moreIpv6.includes(name)))("$name has the recorded routes", (recorded) => {
      expect(routeLines(results.get(recorded.name)?.applied)).toEqual(recordedRoutes(recorded));
    });

    test.each(cases)("$name is left alone by a second run, and removed without a trace", ({ name }) => {
      const { before, applied, again, cleaned } = results.get(name) ?? {};
      expect(again).toEqual(["none", applied]);
      expect(cleaned).toEqual(before);
    });
  });
});

/** A legacy table stays in the kernel once it was used: without rules and chains it is as if it were not there. */
function withoutEmpty(legacy = ""): string {
  return legacy
    .split("\n")
    .filter((line) => line.startsWith("-") || / - /.test(line))
    .join("\n");
}

/** IPv4's tables are printed before IPv6's; a table's second occurrence is that of IPv6. */
function splitFamilies(tables: readonly string[]): readonly [string, string] {
  const names = tables.map((table) => table.split("\n")[0]);
  const second = tables.findIndex((_, index) => names.indexOf(names[index]) < index);
  const end = second < 0 ? tables.length : second;
  return [tables.slice(0, end).join("\n"), tables.slice(end).join("\n")];
}

function routeLines(applied: KernelResult["applied"] | undefined): readonly string[] {
  return linesOf(applied?.network)
    .map((line) => line.trimEnd())
    .sort();
}

/** The routes of one table only were recorded. */
function recordedRoutes(recorded: RecordedCase): readonly string[] {
  const route = recorded.args.includes("233") ? ["local default dev lo scope host"] : [];
  return [...recorded.section("network"), ...route].sort();
}
