// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { projectRoot, runProgram } from "../../support/run-program.ts";

export const launcher = join(projectRoot, "bin/attache");
const both = "ip addr add 10.7.0.5/24 dev v0; ip addr add fd00:7::5/64 dev v0 nodad";
export const usual = `${launcher} istio-iptables -u 1337 -b * -i *`;

/**
 * Runs commands of a shell in a network namespace of their own.
 * @returns for each command its exit code and output, and at the end the rules that are there
 */
export async function runCommands(commands: readonly string[], addresses = both): Promise<readonly string[]> {
  const script = `
PATH=$PATH:/usr/sbin:/sbin
set -f
ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ${addresses}
${commands.map((command) => `( ${command} ) 2>&1; echo "== $?"`).join("\n")}
nft list ruleset
`;
  const { stdout } = await runProgram("unshare", ["-mn", "sh", "-c", script]);
  return stdout.split(/^== /m);
}
