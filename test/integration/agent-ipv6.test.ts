// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runProgram } from "../support/run-program.ts";

/** A network of its own, whose interface has addresses of both families; ::6 is on no interface. */
const network = ["-n", "sh", "-c"];
const [v4, v6] = ["10.7.0.5", "fd00:7::5"];
const setUp = [
  "ip link set lo up",
  "ip link add v0 type veth peer name v1",
  "ip link set v0 up",
  "ip link set v1 up",
  `ip addr add ${v4}/24 dev v0`,
  `ip -6 addr add ${v6}/64 dev v0 nodad`,
].join(" && ");
const mayMakeNetworks = spawnSync("unshare", [...network, setUp]).status === 0;
const pods = fileURLToPath(new URL("../support/dual-stack-pod-program.ts", import.meta.url));
const probes = fileURLToPath(new URL("../support/ipv6-probe-program.ts", import.meta.url));

async function runIn(command: string): Promise<unknown> {
  const { stdout, stderr } = await runProgram("unshare", [...network, `${setUp} && exec node ${command}`]);
  expect(stdout, stderr).toMatch(/^\{/);
  return JSON.parse(stdout);
}

describe.runIf(mayMakeNetworks)("B16: a pod of both families", () => {
  test.each([
    ["IPv6", v6],
    ["IPv4", v4],
  ])("whose first address is %s serves readiness and metrics at each address", async (_family, first) => {
    const answers = await runIn(`${pods} ${first} ${v4} ${v6} 127.0.0.1 ::1`);
    const all = [200, 200, 200];
    expect(answers).toEqual({ [v4]: all, [v6]: all, "127.0.0.1": all, "::1": all });
  });

  test("without ::6 probes of every kind come from the pod's own address", async () => {
    expect(await runIn(`${probes} ${v6}`)).toEqual({ answers: [200, 200, 200], from: v6 });
  });
});
