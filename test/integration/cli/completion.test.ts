// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { startPod } from "../../support/pod.ts";
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

test("names of clusters come from the running agent, and there are none without one", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const attache = join(projectRoot, "bin/attache");
  const lookUp = (statusPort: number) =>
    runProgram(attache, ["completion", "--lookup", "clusters"], {
      env: { PROXY_CONFIG: JSON.stringify({ statusPort }) },
    });
  const { code, stdout } = await lookUp(pod.ports.status);
  expect([code, stdout.split("\n")]).toEqual([0, expect.arrayContaining(["sds-grpc", "prometheus_stats"])]);
  expect(await lookUp(1)).toMatchObject({ code: 0, stdout: "", stderr: "" });
});
