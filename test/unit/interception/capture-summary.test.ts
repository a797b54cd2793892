// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { summarizeRules } from "../../../src/interception/kernel/capture-summary.ts";

test("rules of iptables are summarized: ports, DNS, and who is exempt", () => {
  const rules = [
    "-p tcp -m tcp --dport 15008 -j RETURN",
    "-p tcp -j REDIRECT --to-ports 15006",
    "-o lo -m owner ! --uid-owner 1337 -j RETURN",
    "-m owner --uid-owner 1337 -j RETURN",
    "-m owner --gid-owner 1338 -j RETURN",
    "-d 127.0.0.1/32 -j RETURN",
    "-p tcp -j REDIRECT --to-ports 15001",
    "-p udp -m udp --dport 53 -j REDIRECT --to-ports 15053",
    "-p udp -m udp --dport 53 -m owner --uid-owner 1339 -j CT --zone 1",
  ];
  expect(summarizeRules(rules)).toEqual({
    usesTproxy: false,
    ports: [15_001, 15_006],
    dnsPorts: [15_053],
    exemptUids: [1337],
    exemptGids: [1338],
  });
});

test("rules of nftables are summarized alike, and TPROXY is recognised in both", () => {
  const rules = [
    "\t\tmeta l4proto tcp counter packets 0 bytes 0 redirect to :15001",
    "\t\tmeta skuid 1337 counter packets 75 bytes 4500 return",
    '\t\toifname "lo" meta skuid != 1337 counter return',
    "\t\tmeta skgid 1337 counter return",
    "\t\tudp dport 53 counter redirect to :15053",
    "\t\tmeta l4proto tcp tproxy to :15006 meta mark set 0x00000539",
  ];
  expect(summarizeRules(rules)).toEqual({
    usesTproxy: true,
    ports: [15_001, 15_006],
    dnsPorts: [15_053],
    exemptUids: [1337],
    exemptGids: [1337],
  });
  expect(summarizeRules(["-p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539"])).toMatchObject({
    usesTproxy: true,
    ports: [15_006],
  });
  expect(summarizeRules([])).toEqual({ usesTproxy: false, ports: [], dnsPorts: [], exemptUids: [], exemptGids: [] });
});
