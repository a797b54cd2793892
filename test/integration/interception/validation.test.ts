// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { projectRoot, runProgram } from "../../support/run-program.ts";

const launcher = join(projectRoot, "bin/attache");
const timeoutMs = 60_000;

interface Run {
  /** Shell commands after the rules were applied. */
  readonly before?: string;
  /** Options that the rules are made with; undefined: there are no rules. */
  readonly rules?: string;
  /** Further options of the validation. */
  readonly options?: string;
  readonly user?: "root" | "proxy" | "init";
  readonly addresses?: readonly string[];
}

const users = {
  root: "",
  /** As `istio-validation`. */
  proxy: "setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps=-all --bounding-set=-all",
  /** As `istio-init`: user 0 that may not become another. */
  init: "setpriv --bounding-set=-all,+net_admin,+net_raw --inh-caps=-all",
} as const;

const usual = "-u 1337 -b * -i *";

async function validate(run: Run): Promise<readonly [number | null, string]> {
  const { before = "true", rules, options = rules ?? usual, user = "proxy", addresses = ["10.7.0.5/24"] } = run;
  const script = `
PATH=$PATH:/usr/sbin:/sbin
set -f
ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
${addresses.map((address) => `ip addr add ${address} dev v0 ${address.includes(":") ? "nodad" : ""}`).join("\n")}
${rules === undefined ? "true" : `${launcher} istio-iptables ${rules}`} >/dev/null || exit 99
${before}
${users[user]} ${launcher} istio-iptables ${options} --skip-rule-apply --run-validation --probe-timeout 2s 2>&1
`;
  const { code, stdout } = await runProgram("unshare", ["-n", "sh", "-c", script]);
  return [code, stdout];
}

const passed = expect.stringContaining("validation passed") as string;
const failedWith = (text: RegExp): string => expect.stringMatching(text) as string;

describe.runIf(mayMakeNetworks)("in a network namespace, validation", () => {
  const both = ["10.7.0.5/24", "fd00:7::5/64"];

  test.each<[string, Run]>([
    ["the proxy's user without capabilities", { rules: usual }],
    ["root", { rules: usual, user: "root" }],
    ["the user of an init container", { rules: usual, user: "init" }],
    ["TPROXY mode", { rules: `${usual} -m TPROXY` }],
    ["nftables", { rules: `${usual} --native-nftables` }],
    ["nftables, by root", { rules: `${usual} --native-nftables -m TPROXY`, user: "root" }],
    ["IPv6 only", { rules: usual, addresses: ["fd00:7::5/64"] }],
    ["two families", { rules: `${usual} --dual-stack`, addresses: both, user: "root" }],
    ["other ports", { rules: "-u 1337 -b * -z 16006 -p 16001 --iptables-probe-port 12345 -i *", user: "root" }],
    [
      "address ranges and ports",
      { rules: "-u 1337 -q 8080 -i 10.9.0.0/16 -x 10.7.0.0/24", user: "root", before: "ip route add default dev v0" },
    ],
    ["inbound capture alone, which an init container's user cannot test", { rules: "-u 1337 -b *", user: "init" }],
    ["rules that come during the validation", { before: `{ sleep 0.6; ${launcher} istio-iptables ${usual}; } >&2 &` }],
    [
      "a plugin that captures the first family only",
      { rules: `${usual} --dual-stack=false`, options: usual, addresses: both },
    ],
  ])(
    "passes for %s",
    async (_, run) => {
      expect(await validate(run)).toEqual([0, passed]);
    },
    timeoutMs,
  );

  test(
    "leaves Envoy's port to a process that has it, and says nothing about the rules then",
    async () => {
      const listen = `require("net").createServer().listen({ port: 15006, host: "0.0.0.0", reusePort: true })`;
      const before = `${process.execPath} -e '${listen}' >/dev/null 2>&1 & trap "kill $!" EXIT
until ss -Hltn "sport = :15006" | grep -q .; do sleep 0.05; done`;
      const [code, text] = await validate({ rules: usual, before, user: "root" });
      expect(code).toBe(1);
      expect(text).toMatch(
        /to 127\.0\.0\.6 port 15002 is not tested: validation needs port 15006, .*EADDRINUSE[^;]*\nError: validation failed: connections could not be tested$/m,
      );
    },
    timeoutMs,
  );

  test.each<[string, Run, RegExp]>([
    [
      "no rules, for the proxy's user",
      {},
      /IPv4 connection of user 1337 to 127\.0\.0\.6 port 15002 is not captured: .*ECONNREFUSED.*one of these is missing: iptables -t nat -A OUTPUT -j ISTIO_OUTPUT; [^]*such as Istio's CNI plugin/,
    ],
    ["no rules, for root", { user: "root" }, /none of the rules is there/],
    [
      "the jump of one family",
      {
        rules: `${usual} --dual-stack`,
        addresses: both,
        user: "root",
        before: "ip6tables -t nat -D OUTPUT -j ISTIO_OUTPUT",
      },
      /^\S+\terror\tIPv6 connection of user 0 to fd00:7::6 port 15002 is not captured: .*missing: ip6tables -t nat -A OUTPUT -j ISTIO_OUTPUT$/m,
    ],
    [
      "one rule of nftables",
      {
        rules: `${usual} --native-nftables`,
        user: "root",
        before: "nft flush chain inet istio-proxy-nat istio-redirect",
      },
      /missing: nft add rule inet istio-proxy-nat istio-redirect meta l4proto tcp counter redirect to :15001/,
    ],
    [
      "the address of Envoy's connections over IPv6",
      { rules: usual, addresses: ["fd00:7::5/64"], before: "ip addr del ::6/128 dev lo" },
      /missing: ip addr add ::6\/128 dev lo/,
    ],
    [
      "rules for another user",
      { rules: "-u 1400 -b * -i 10.9.0.0/16", options: usual, user: "proxy" },
      /is not captured/,
    ],
    [
      "a rule of others that takes the packets",
      { rules: usual, user: "root", before: "iptables -t nat -I OUTPUT -j ACCEPT" },
      /the rules are in place: another rule takes it first/,
    ],
    [
      "options that capture nothing",
      { rules: usual, options: "-u 1337" },
      /the options capture nothing: set --istio-inbound-ports/,
    ],
  ])(
    "fails with %s",
    async (_, run, text) => {
      expect(await validate(run)).toEqual([126, failedWith(text)]);
    },
    timeoutMs,
  );
});
