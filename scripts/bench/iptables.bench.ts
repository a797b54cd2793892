// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildRuleSet } from "../../src/interception/index.ts";
import { renderIptablesRestore } from "../../src/interception/render-iptables.ts";
import { renderNftables } from "../../src/interception/render-nftables.ts";
import { parseOptions } from "../../test/support/recorded-interception.ts";
import { type Figure, median } from "./figure.ts";

export const name = "iptables";

const rounds = 20;
const launcher = join(import.meta.dirname, "../../bin/attache");
/** What Istio's injector gives to the init container of a pod. */
const options = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020".split(" ");

interface Subject {
  readonly name: string;
  readonly command: readonly string[];
  readonly input?: string;
}

/**
 * Medians of alternating runs, each in an empty network namespace of its own, to the rules of Istio's injector in it: the
 * kernel's own program with the same rules, the command, and the command of the pilot-agent that BENCH_PEER names. Needs root.
 */
export function run(): Promise<readonly Figure[]> {
  const set = buildRuleSet(parseOptions(options).capture);
  return Promise.resolve([
    ...measure("iptables", [
      {
        name: "iptables-restore",
        command: ["iptables-restore", "--noflush"],
        input: renderIptablesRestore(set, "ipv4"),
      },
      ...commands([]),
    ]),
    ...measure("nftables", [
      { name: "nft -f", command: ["nft", "-f", "-"], input: renderNftables(set) },
      ...commands(["--native-nftables"]),
    ]),
  ]);
}

function commands(more: readonly string[]): readonly Subject[] {
  const peer = process.env["BENCH_PEER"];
  const args = ["istio-iptables", ...options, ...more];
  const attache = { name: "attache istio-iptables", command: [launcher, ...args] };
  return peer === undefined ? [attache] : [attache, { name: "pilot-agent istio-iptables", command: [peer, ...args] }];
}

function measure(backend: string, subjects: readonly Subject[]): readonly Figure[] {
  const times = subjects.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const ms = runOnce(subject);
      // the first run reads the files from the disk
      if (round > 0) times[index]?.push(ms);
    }
  }
  const [, attache = Number.NaN, peer] = times.map(median);
  const figures = subjects.map((subject, index): Figure => {
    return { name: `${subject.name}, ${backend}`, value: median(times[index] ?? []), unit: "ms" };
  });
  if (peer === undefined) return figures;
  return [
    ...figures,
    { name: `the same in runs of pilot-agent, ${backend}`, value: attache / peer, unit: "x", limit: 1.5 },
  ];
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

function runOnce({ command, input = "" }: Subject): number {
  const env = { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const args = ["-n", "sh", "-c", script, "sh", ...command];
  const { status, stdout, stderr } = spawnSync("unshare", args, { env, input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command.join(" ")} in a network namespace: ${stderr}`);
  return Number(stdout) / 1e6;
}
