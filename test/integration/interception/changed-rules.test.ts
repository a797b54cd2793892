// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { Backend } from "../../../src/interception/options.ts";
import type { KernelTask, Namespace, Place } from "../../support/kernel-rules-program.ts";
import { fc } from "../../support/properties.ts";
import { randomInterception } from "../../support/random-interception.ts";
import { mayMakeNetworks, runKernelTasks } from "../../support/run-kernel-tasks.ts";

/** More take minutes: `ATTACHE_INTERCEPTION_SETS=200`. */
const sets = Math.min(300, Number(process.env["ATTACHE_INTERCEPTION_SETS"] ?? 8));
const timeoutMs = 120_000 + sets * 4_000;

const nft: Backend = { kind: "iptables", binary: "nft" };
const legacy: Backend = { kind: "iptables", binary: "legacy" };
const native: Backend = { kind: "nftables" };
const backends = [nft, legacy, native];

function place(backend: Backend, args: string, addresses: readonly string[] = ["10.0.0.5/24", "fd00:10::5/64"]): Place {
  return {
    backend,
    options: { args: args.split(" "), env: {}, addresses, resolvConf: "nameserver 10.96.0.10\nnameserver fd00:96::a" },
  };
}

/** As a legacy table that was used once is without anything in it. */
function comparable(namespace: Namespace): Namespace {
  const lines = namespace.legacy.split("\n").filter((line) => line.startsWith("-A") || / - /.test(line));
  return { ...namespace, legacy: lines.join("\n") };
}

/** The kernel numbers policy rules downwards: a new one beside an old one gets another number than alone. */
function withoutPriorities(namespace: Namespace): Namespace {
  return { ...comparable(namespace), network: namespace.network.replaceAll(/^\d+:(?=\tfrom all fwmark)/gm, "") };
}

const redirect = "-u 1337 -b * -i * -d 15021 -c eth7,eth8 -k net1";
const tproxy = "-u 1337 -b * -i * -m TPROXY -t 2337 -r 233 --redirect-dns --capture-all-dns --drop-invalid";
const changes = "reconciled to exactly the new rules, and removed without a trace";

describe.runIf(mayMakeNetworks)("in a network namespace", () => {
  test.each([
    ["REDIRECT to TPROXY with iptables-nft", place(nft, redirect), place(nft, tproxy)],
    ["TPROXY to REDIRECT with iptables-nft", place(nft, tproxy), place(nft, redirect)],
    ["TPROXY to REDIRECT with iptables-legacy", place(legacy, tproxy), place(legacy, redirect)],
    ["TPROXY to REDIRECT with nftables", place(native, tproxy), place(native, redirect)],
    ["two families to one", place(nft, tproxy), place(nft, tproxy, ["10.0.0.5/24"])],
    ["iptables to nftables", place(nft, tproxy), place(native, redirect)],
    ["nftables to iptables", place(native, tproxy), place(legacy, redirect)],
    ["iptables-legacy to iptables-nft", place(legacy, redirect), place(nft, redirect)],
    ["capture to nothing captured", place(nft, redirect), place(nft, "-u 1337")],
  ])(
    `%s: ${changes}`,
    async (_, from, to) => {
      const [result] = await runKernelTasks([{ kind: "replace", from, to }]);
      if (result?.fresh === undefined) throw new Error("no result");
      expect(withoutPriorities(result.applied)).toEqual(withoutPriorities(result.fresh));
      expect(comparable(result.cleaned)).toEqual(comparable(result.before));
      const isReplaceable = from.backend === native && to.backend === native;
      expect(result.replacing).toEqual(
        isReplaceable
          ? ["replaced", "none"]
          : [
              expect.stringMatching(
                /^rules of other options are in place \((?:iptables-nft|iptables-legacy|nftables)\): use --reconcile/,
              ),
              "replaced",
            ],
      );
    },
    timeoutMs,
  );

  test(
    `${String(sets)} random option sets are recognized as applied, ${changes}`,
    async () => {
      const options = fc.sample(randomInterception, 2 * sets);
      const tasks = options.flatMap((one, index): readonly KernelTask[] => {
        const backend = backends[index % backends.length] ?? nft;
        const other = options[index + 1];
        if (index % 2 === 1 || other === undefined) return [{ kind: "apply", backend, options: one }];
        return [{ kind: "replace", from: { backend, options: one }, to: { backend, options: other } }];
      });
      const results = await runKernelTasks(tasks);
      for (const [index, { before, applied, again, fresh, cleaned }] of results.entries()) {
        const note = JSON.stringify(tasks[index]);
        expect(comparable(cleaned), note).toEqual(comparable(before));
        if (again !== undefined) expect(again, note).toEqual(["none", applied]);
        if (fresh !== undefined) expect(withoutPriorities(applied), note).toEqual(withoutPriorities(fresh));
      }
    },
    timeoutMs,
  );

  const foreign = [
    "iptables-nft -t nat -A OUTPUT -p tcp --dport 9 -j ACCEPT; iptables-nft -t nat -N MINE; iptables-nft -t nat -A PREROUTING -j MINE",
    "ip6tables-nft -t mangle -A OUTPUT -p udp --dport 9 -j ACCEPT; ip rule add fwmark 7 lookup 77",
    "ip route add local default dev lo table 77; nft add table inet theirs",
  ];

  test.each<[string, Extract<KernelTask, { kind: "fail" }>]>([
    ["applied with iptables-nft", { kind: "fail", to: place(nft, tproxy) }],
    ["applied with iptables-legacy", { kind: "fail", to: place(legacy, tproxy) }],
    ["applied with nftables", { kind: "fail", to: place(native, tproxy) }],
    ["replaced with iptables-nft", { kind: "fail", from: place(nft, redirect), to: place(nft, tproxy), foreign }],
    ["replaced by other modes", { kind: "fail", from: place(nft, tproxy), to: place(nft, redirect), foreign }],
    ["replaced with nftables", { kind: "fail", from: place(native, redirect), to: place(native, tproxy), foreign }],
    ["moved from iptables to nftables", { kind: "fail", from: place(nft, redirect), to: place(native, tproxy) }],
    [
      "moved from nftables to iptables-legacy",
      { kind: "fail", from: place(native, tproxy), to: place(legacy, redirect) },
    ],
  ])(
    "rules are as before when any step fails while they are %s",
    async (_, task) => {
      const [result] = await runKernelTasks([task]);
      const { before, failures = [] } = result ?? {};
      if (before === undefined) throw new Error("no result");
      expect(failures.length).toBeGreaterThanOrEqual(6);
      for (const [message, after] of failures) {
        expect(message).toBe("change the rules: everything is as before");
        expect(comparable(after)).toEqual(comparable(before));
      }
    },
    timeoutMs,
  );
});
