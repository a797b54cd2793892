// SPDX-License-Identifier: Apache-2.0
// The commands of diagnosis against the pods of `attache dev`, whose Envoys speak mutual TLS.
import { expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { type RunningProgram, startProgram } from "../../support/program.ts";

interface DevPod {
  readonly name: string;
  readonly app: string;
  readonly envoy: string;
  readonly agent: string;
}

/** The rows of the report: WORKLOAD, SPIFFE ID, SERIAL, EXPIRES, APP, ENVOY, ADMIN, AGENT. */
async function untilMesh(dev: RunningProgram): Promise<readonly DevPod[]> {
  await eventually(() => expect(dev.output().stdout).toContain("Press Ctrl-C"), { withinMs: 60_000, everyMs: 100 });
  const rows = dev.output().stdout.matchAll(/^ +(\w+) +spiffe:\S+ +\S+ +\S+ +(\d+) +(\d+) +\d+ +(\d+)$/gm);
  return Array.from(rows, ([, name = "", app = "", envoy = "", agent = ""]) => ({ name, app, envoy, agent }));
}

async function run(...args: readonly string[]): Promise<string> {
  await using program = startProgram(args);
  const { code, stdout, stderr } = await program.exited;
  return `${String(code)} ${stdout}${stderr}`;
}

test("status, certs and log in a mesh", { timeout: 120_000 }, async () => {
  await using dev = startProgram(["dev"]);
  const pods = await untilMesh(dev);
  expect(pods.map(({ name }) => name)).toEqual(["web", "api"]);
  for (const { name, agent } of pods) {
    expect(await run("status", "--address", agent)).toMatch(new RegExp(`^0 READY\n\nPod +${name}-1\\.demo, `));
    expect(await run("certs", "--address", agent)).toMatch(/^0 \[ok\] {3}the certificate is valid for /);
    expect(await run("log", "--address", agent)).toMatch(/^0 SCOPE +LEVEL +RESET\n/);
  }
  const [web, api] = pods;
  const verify = ["certs", "--address", web?.agent ?? "", "--verify"];
  const peer = await run(
    ...verify,
    `127.0.0.1:${api?.envoy ?? ""}`,
    "--peer-id",
    "spiffe://cluster.local/ns/demo/sa/api",
  );
  expect(peer).toMatch(/^0 \[ok\] {3}\S+ verified by the root "O=attache development CA"\n/);
  expect(await run(...verify, `127.0.0.1:${api?.app ?? ""}`)).toMatch(/^1 \[fail\] .*does not speak TLS/);
  dev.kill("SIGINT");
  expect(await dev.exited).toMatchObject({ code: 0 });
});
