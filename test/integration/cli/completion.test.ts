// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";

/** What bash offers after the words; the last of them is being typed. */
async function offers(...words: readonly string[]): Promise<readonly string[]> {
  const script = `. <(${join(projectRoot, "bin/attache")} completion bash)
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _attache_complete
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { code, stdout, stderr } = await runProgram("bash", ["-c", script, "bash", "attache", ...words]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.split("\n").filter((word) => word !== "");
}

test("bash completes commands, their words, their flags and the values of flags", async () => {
  expect(await offers("doc")).toEqual(["doctor"]);
  expect(await offers("proxy", "rou")).toEqual(["router"]);
  expect(await offers("proxy", "--proxyL")).toEqual(["--proxyLogLevel"]);
  expect(await offers("completion", "")).toEqual(expect.arrayContaining(["bash", "zsh", "fish", "powershell"]));
  expect(await offers("help", "istio")).toEqual(["istio-iptables"]);
  expect(await offers("explain", "-o", "")).toEqual(["text", "json", "yaml"]);
  expect(await offers("explain", "--output", "y")).toEqual(["yaml"]);
  expect(await offers("explain", "--output", "=", "j")).toEqual(["json"]);
  expect(await offers("explain", "--output", "=")).toEqual(["text", "json", "yaml"]);
});
