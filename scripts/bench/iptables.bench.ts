// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildRuleSet } from "../../src/interception/index.ts";
import { renderIptablesRestore } from "../../src/interception/render-iptables.ts";
import { renderNftables } from "../../src/interception/render-nftables.ts";
import { parseOptions } from "../../test/support/recorded-interception.ts";
import type { Comparison } from "./comparison.ts";
import { findPeer } from "./peer.ts";
import { type Readings, runInRounds } from "./rounds.ts";

export const name = "iptables";

const rounds = 24;
const launcher = join(import.meta.dirname, "../../bin/attache");
/** What Istio's injector gives to the init container of a pod. */
const options = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020".split(" ");

interface Command {
  readonly words: readonly string[];
  readonly input?: string;
}

/**
 * Whole runs, each in an empty network namespace of its own, to the rules of Istio's injector in it, by the command. The
 * reference is the kernel's own program, which gets the same rules as text. Asserts the exit code. Needs root.
 */
export async function run(): Promise<readonly Comparison[]> {
  const set = buildRuleSet(parseOptions(options).capture);
  return [
    ...(await compare("iptables", [], {
      words: ["iptables-restore", "--noflush"],
      input: renderIptablesRestore(set, "ipv4"),
    })),
    ...(await compare("nftables", ["--native-nftables"], {
      words: ["nft", "-f", "-"],
      input: renderNftables(set),
    })),
  ];
}

async function compare(backend: string, more: readonly string[], reference: Command): Promise<readonly Comparison[]> {
  const words = ["istio-iptables", ...options, ...more];
  const peer = findPeer();
  return await runInRounds({
    rounds,
    subjects: {
      attache: timed({ words: [launcher, ...words] }),
      reference: timed(reference),
      peer: peer === undefined ? undefined : timed({ words: [peer.path, ...words] }),
    },
    rows: { ms: { name: `istio-iptables, ${backend}: start to end`, unit: "ms", limits: { peer: { atMost: 1.5 } } } },
  });
}

function timed(command: Command): () => Promise<Readings> {
  return () => Promise.resolve({ ms: runOnce(command) });
}

/** Prints the nanoseconds of the command in its arguments as the last line. */
const script = `
ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.7.0.5/24 dev v0 &&
ip link set v0 up && ip link set v1 up || exit 1
start=$(date +%s%N)
"$@" >&2 || exit 1
end=$(date +%s%N)
echo $((end - start))
`;

function runOnce({ words, input = "" }: Command): number {
  const env = { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const args = ["-n", "sh", "-c", script, "sh", ...words];
  const { status, stdout, stderr } = spawnSync("unshare", args, { env, input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${words.join(" ")} in a network namespace: ${stderr}`);
  return Number(stdout) / 1e6;
}
