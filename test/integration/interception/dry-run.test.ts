// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const args = ["-u", "1337", "-b", "*", "-i", "*", "-m", "TPROXY"];
const launcher = join(projectRoot, "bin/attache");
const mayMakeNetworks = spawnSync("unshare", ["-n", "true"]).status === 0;

describe.runIf(mayMakeNetworks)("in a network namespace of its own", () => {
  const namespace = `
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&
ip addr add 10.7.0.5/24 dev v0 && "$@" >&2
code=$?
nft list ruleset; iptables-save; ip6tables-save; ip rule | grep -v 'lookup \\(local\\|main\\|default\\)'; exit $code
`;

  test.each([
    ["iptables", "--dry-run", "-A PREROUTING -p tcp -j ISTIO_INBOUND\n"],
    [
      "nftables",
      "--dry-run",
      "add rule inet istio-proxy-mangle prerouting meta l4proto tcp counter jump istio-inbound\n",
    ],
    ["iptables", "--explain", "Envoy's outbound port 15001: all others\n"],
    ["nftables", "--explain", "Envoy's outbound port 15001: all others\n"],
  ])("with %s, %s prints and changes nothing", async (backend, flag, expected) => {
    const native = backend === "nftables" ? ["--native-nftables"] : [];
    const command = [launcher, "istio-iptables", flag, ...args, ...native];
    const { code, stdout, stderr } = await runProgram("unshare", ["-n", "sh", "-c", namespace, "sh", ...command]);
    expect(stderr).toContain(expected);
    expect([code, stdout]).toEqual([0, ""]);
  });
});

test("a link with the command's name runs the command, and the file of a dry run is replaced", async () => {
  await using directory = await temporaryDirectory();
  const [link, file] = [join(directory.path, "istio-iptables"), join(directory.path, "rules")];
  symlinkSync(launcher, link);
  writeFileSync(file, "what an older run wrote\n".repeat(1_000));
  const { code, stderr } = await runProgram(link, ["--dry-run", "--dual-stack=false"], {
    env: { DRY_RUN_FILE_PATH: file },
  });
  expect([code, stderr]).toEqual([0, ""]);
  expect(readFileSync(file, "utf8")).toMatch(/^iptables-save\nip6tables-save\n\* nat\n[^]*\nCOMMIT\niptables-save\n$/);
});

test("a file of a dry run that cannot be written is an error with its path", async () => {
  const { code, stderr } = await runProgram(launcher, ["istio-iptables", "--dry-run"], {
    env: { DRY_RUN_FILE_PATH: "/nonexistent/rules" },
  });
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^Error: write DRY_RUN_FILE_PATH \/nonexistent\/rules: ENOENT/),
  ]);
});

test("the log of a dry run is beside its output, and has the form that is asked for", async () => {
  const { stdout, stderr } = await runProgram(launcher, ["istio-iptables", "--dry-run", "--log_as_json"], {
    env: { ENVOY_USER: "nobody-here" },
  });
  expect(stdout).toMatch(/^# iptables-restore --noflush\n/);
  expect(JSON.parse(stderr.split("\n")[0] ?? "")).toMatchObject({
    level: "warning",
    msg: expect.stringMatching(/^ENVOY_USER: /) as string,
  });
});
