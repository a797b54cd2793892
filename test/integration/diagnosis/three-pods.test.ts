// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DevMesh, startDevMesh } from "../../support/dev-mesh.ts";
import { startProgram } from "../../support/program.ts";

const stack = new AsyncDisposableStack();
let mesh: DevMesh;

beforeAll(async () => {
  mesh = stack.use(await startDevMesh());
}, 60_000);

afterAll(async () => {
  await stack.disposeAsync();
});

/** The command's JSON, of a pod in which nothing is wrong. */
async function ask(...words: readonly string[]): Promise<unknown> {
  await using program = startProgram([...words, "-o", "json"]);
  const { code, stdout, stderr } = await program.exited;
  expect([code, stderr], words.join(" ")).toEqual([0, ""]);
  return JSON.parse(stdout);
}

test("status, certs and log tell of each of three pods what it is", async () => {
  const identities = { web: "spiffe://cluster.local/ns/demo/sa/web", api: "spiffe://cluster.local/ns/demo/sa/api" };
  const pods = [
    [mesh.web, identities.web],
    [mesh.api, identities.api],
    [mesh.third, identities.web],
  ] as const;
  for (const [address, spiffeId] of pods) {
    const status = await ask("status", "--address", address);
    expect(status).toMatchObject({ ready: true, certificates: [{ spiffeId }] });
    const certs = JSON.stringify(await ask("certs", "--address", address));
    expect(certs).toContain(spiffeId);
    expect(JSON.stringify(await ask("log", "--address", address))).toContain('"sds"');
  }
});

test("a bundle of each of three pods has every part", async () => {
  for (const [index, address] of [mesh.web, mesh.api, mesh.third].entries()) {
    const file = join(mesh.directory, `${String(index)}.tar.gz`);
    await using program = startProgram(["bundle", "--address", address, "--file", file]);
    const { code, stdout, stderr } = await program.exited;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("0 missing or not complete");
  }
});
