// SPDX-License-Identifier: Apache-2.0
import { buildRuleSet } from "../../../src/interception/index.ts";
import { renderIptablesRestore } from "../../../src/interception/render-iptables.ts";
import { renderNftables } from "../../../src/interception/render-nftables.ts";
import { machineOf, parseOptions } from "../../support/recorded-interception.ts";
import { addresses, type PacketNetwork } from "./packet-network.ts";

/** Applies the rules, routes and addresses of these options in the pod, with the programs of the system. */
export function capture(
  network: PacketNetwork,
  backend: "iptables" | "nftables",
  args: readonly string[],
  {
    env = {},
    nameServers = [],
  }: { readonly env?: Readonly<Record<string, string>>; readonly nameServers?: readonly string[] } = {},
): void {
  const resolvConf = nameServers.map((address) => `nameserver ${address}\n`).join("");
  const machine = machineOf({ addresses: Object.values(addresses.pod), resolvConf });
  const set = buildRuleSet(parseOptions(args, env, machine).capture);
  if (backend === "nftables") network.runInPod("nft", ["-f", "-"], renderNftables(set));
  else {
    network.runInPod("iptables-restore", ["--noflush"], renderIptablesRestore(set, "ipv4"));
    network.runInPod("ip6tables-restore", ["--noflush"], renderIptablesRestore(set, "ipv6"));
  }
  for (const { family, mark, table } of set.routes) {
    const ip = family === "ipv4" ? "-4" : "-6";
    network.runInPod("ip", [ip, "rule", "add", "fwmark", String(mark), "lookup", String(table)]);
    network.runInPod("ip", [ip, "route", "add", "local", "default", "dev", "lo", "table", String(table)]);
  }
  network.runInPod("ip", ["-6", "addr", "add", "::6/128", "dev", "lo"]);
}
