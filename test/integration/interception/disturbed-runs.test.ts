// SPDX-License-Identifier: Apache-2.0
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { launcher, runCommands, usual } from "./run-commands.ts";

const timeoutMs = 60_000;
const text = (pattern: RegExp): string => expect.stringMatching(pattern) as string;
const clean = `${launcher} istio-iptables --cleanup-only`;

/** A directory with a program that is found before the real one of the name. */
async function withProgram(name: string, script: string): Promise<{ readonly path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const program = join(directory.path, name);
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return directory;
}

describe.runIf(mayMakeNetworks)("in a network namespace, the command", () => {
  test.each(["", "--native-nftables"])(
    "leaves the rules in place when several runs start at the same time %s",
    async (backend) => {
      const one = `${usual} ${backend}`;
      const together = Array.from({ length: 4 }, () => `{ ${one} || echo failed; } &`).join(" ");
      const [output, ...rest] = await runCommands([`${together} wait`, one]);
      expect(output).not.toContain("failed");
      expect(output?.match(/rules applied/g)).toHaveLength(1);
      expect(output?.match(/nothing to do/g)).toHaveLength(3);
      expect(rest).toEqual([text(/^0\n.*nothing to do/), text(/^0\n.*table/s)]);
    },
    timeoutMs,
  );

  test.each(["", "--native-nftables"])(
    "waits no longer than its caller wants for a run that does not end %s",
    async (backend) => {
      await using directory = await withProgram("nft", "echo $$ >$0.pid; exec sleep 30");
      const output = await runCommands([
        `PATH=${directory.path}:$PATH ${usual} & first=$!; sleep 0.5; ` +
          `${usual} ${backend} & second=$!; sleep 0.5; kill $second; wait $second; echo ended with $?; kill -9 $first; kill $(cat ${directory.path}/nft.pid)`,
      ]);
      expect(output[0]).toMatch(/another run changes the rules of this network namespace: waiting/);
      expect(output[0]).toMatch(/Error: wait for another run .* to end: received SIGTERM\nended with 1\n/);
    },
    timeoutMs,
  );

  test(
    "ends with an error, and without rules, when Ctrl-C ends its program",
    async () => {
      await using directory = await withProgram("nft", "kill -INT $$; sleep 1");
      const [first, rules] = await runCommands([`PATH=${directory.path}:$PATH ${usual} --native-nftables`]);
      expect(first).toMatch(/Error: .*nft: was ended by SIGINT/);
      expect(rules).toBe("1\n");
    },
    timeoutMs,
  );

  test(
    "completes what a killed run has begun, and nothing of other options",
    async () => {
      // each family has its program: the run ends between the two
      await using directory = await withProgram("ip6tables-nft-restore", "kill -9 $PPID");
      const killed = `sh -c 'set -f; PATH=${directory.path}:$PATH exec ${usual} -m TPROXY'`;
      expect(
        await runCommands([
          killed,
          `${usual} -m TPROXY -c eth7`,
          `${usual} -m TPROXY`,
          `${usual} -m TPROXY`,
          "iptables -t mangle -F ISTIO_INBOUND",
          `${usual} -m TPROXY`,
          clean,
          killed,
          clean,
        ]),
      ).toEqual([
        "",
        text(/^137\nError: rules of other options are in place \(iptables-nft\)/),
        text(/^1\n.*a part was in place: missing rules, routes and addresses added/),
        text(/^0\n.*nothing to do/),
        text(/^0\n$/),
        text(/^0\nError: rules of other options/),
        text(/^1\n.*all rules, routes and addresses removed\tbackend=iptables-nft/),
        "0\n",
        text(/^137\n.*all rules, routes and addresses removed/),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test.each(["", "--native-nftables"])(
    "removes a policy rule with a mark of its own also after a cleanup that was killed %s",
    async (backend) => {
      await using directory = await withProgram(
        "ip",
        'case "$*" in *-batch*) kill -9 $PPID;; esac; PATH=${PATH#*:} exec ip "$@"',
      );
      expect(
        await runCommands([
          `${usual} -m TPROXY -t 2337 -r 233 ${backend}`,
          `sh -c 'PATH=${directory.path}:$PATH exec ${clean}'`,
          clean,
          "ip rule; ip -6 rule; ip route show table 233",
        ]),
      ).toEqual([
        text(/rules applied/),
        "0\n",
        text(/^137\n.*all rules, routes and addresses removed/),
        text(/^0\n(?!.*(?:fwmark|local default))/s),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "keeps rules of others whose comments look like jumps to its chains",
    async () => {
      const foreign = `iptables -t nat -A OUTPUT -p tcp --dport 9 -m comment --comment "a \\" -j ISTIO_OUTPUT" -j ACCEPT`;
      const saved = "iptables-save -t nat | grep -c dport.9.-m.comment";
      expect(await runCommands([foreign, usual, usual, clean, saved, "nft flush ruleset"])).toEqual([
        "",
        text(/^0\n.*rules applied/),
        text(/^0\n.*nothing to do/),
        text(/^0\n.*removed/),
        "0\n1\n",
        text(/^0\n/),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "finds its policy rule also where its routing table has a name",
    async () => {
      const named =
        "mkdir -p /etc/iproute2; mount -t tmpfs none /etc/iproute2; echo 133 istio >/etc/iproute2/rt_tables";
      const tproxy = `${usual} -m TPROXY`;
      expect(await runCommands([named, tproxy, "ip rule | grep -c istio", tproxy, clean, "ip rule"])).toEqual([
        "",
        text(/^0\n.*rules applied/),
        "0\n1\n",
        text(/^0\n.*nothing to do/),
        text(/^0\n.*removed/),
        text(/^0\n(?!.*fwmark)/s),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "says which backend is there if the other one is not",
    async () => {
      await using directory = await temporaryDirectory();
      const only = (...programs: readonly string[]): string =>
        `mkdir -p ${directory.path}/${programs[0] ?? ""}; for p in node sh readlink env ip ${programs.join(" ")}; do ` +
        `ln -s $(command -v $p) ${directory.path}/${programs[0] ?? ""}/$p; done; PATH=${directory.path}/${programs[0] ?? ""}; `;
      expect(
        await runCommands([
          `${only("nft")} ${usual}`,
          `${only("iptables-nft-save", "iptables-nft-restore")} ${usual} --native-nftables`,
        ]),
      ).toEqual([
        text(/: iptables-save: is not installed, or not on PATH; nft is: use --native-nftables\n$/),
        text(/^1\nError: .*: nft: is not installed, or not on PATH; iptables is: leave out --native-nftables\n$/),
        "1\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "ends a validation at SIGTERM",
    async () => {
      const validate = `${usual} --skip-rule-apply --run-validation --probe-timeout 10m`;
      const [output] = await runCommands([`${validate} & run=$!; sleep 1; kill $run; wait $run; echo ended with $?`]);
      expect(output).toMatch(/ended with 126\n$/);
    },
    timeoutMs,
  );
});

describe("the command", () => {
  test(
    "fails if its output cannot be written",
    async () => {
      const output = await runCommands([
        `${usual} --dry-run >/dev/full`,
        `${usual} --explain >/dev/full`,
        `${usual} --help >/dev/full`,
        `${usual} --dry-run 2>&1 | true`,
        `${usual} --dry-run --run-validation 2>&1 | tail -1`,
      ]);
      const lost = "Error: write to standard output: ENOSPC: no space left on device, write\n";
      expect(output).toEqual([lost, `1\n${lost}`, `1\n${lost}`, "1\n", "0\n# ip -6 addr add ::6/128 dev lo\n", "0\n"]);
    },
    timeoutMs,
  );
});
