// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runProgram } from "../../support/run-program.ts";

/** A network of its own, where ::6 is on loopback as in a pod whose traffic is captured. */
const network = ["-n", "sh", "-c"];
const program = fileURLToPath(new URL("../../support/ipv6-probe-program.ts", import.meta.url));
const setUp = "ip link set lo up && ip -6 addr add ::6/128 dev lo && ip -6 addr add fd00::1/128 dev lo";
const mayMakeNetworks = spawnSync("unshare", [...network, setUp]).status === 0;

test.runIf(mayMakeNetworks)("probes of every kind of an application on IPv6 come from ::6", async () => {
  const { stdout, stderr } = await runProgram("unshare", [...network, `${setUp} && exec node ${program} fd00::1`]);
  expect(stdout, stderr).toBe(JSON.stringify({ answers: [200, 200, 200], from: "::6" }));
});
