// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createCaClient } from "../../../src/ca/index.ts";
import { createKeyAndRequest } from "../../../src/cert/csr.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { signingRequest, unchecked } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const attache = join(projectRoot, "bin/attache");

interface RunningCa extends AsyncDisposable {
  readonly port: number;
  readonly out: string;
}

/** `attache ca` as a user runs it, in the directory. */
async function startCa(directory: string, args: readonly string[]): Promise<RunningCa> {
  const child = spawn(attache, ["ca", "--listen", "127.0.0.1:0", ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const port = await eventually(
    () => {
      const found = /^listening on 127.0.0.1:(\d+),/.exec(out)?.[1];
      if (found === undefined) throw new Error(`not listening: ${out}${errors}`);
      return Number(found);
    },
    { withinMs: 8_000 },
  );
  return {
    port,
    out,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Whether the CA signs for the account with the token in the file. */
async function signs(directory: string, port: number, tokenPath: string, account: string): Promise<boolean> {
  const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, `spiffe://cluster.local/ns/${account}`);
  const roots = { kind: "file", path: join(directory, "attache-ca/root-cert.pem") } as const;
  await using client = createCaClient(
    {
      kind: "istio",
      host: "127.0.0.1",
      port,
      security: { kind: "tls", serverName: "localhost", roots, client: undefined, policy: "default" },
      tokenPath,
      cloudToken: undefined,
      clusterId: "",
      certSigner: "",
      headers: {},
      timeoutPerTryMs: 5_000,
      keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    },
    { log: testLog().log, clock: systemClock, budgets: testBudgets() },
  );
  const signed = client.sign(signingRequest(csrPem), unchecked, new AbortController().signal);
  return await signed.then(
    () => true,
    () => false,
  );
}

describe("25: tokens of the embedded CA", () => {
  test("25: two --token-for give two tokens, each for its account; more are minted for the running CA", async () => {
    await using directory = await temporaryDirectory();
    const path = (name: string): string => join(directory.path, name);
    await using ca = await startCa(directory.path, ["--token-for", "demo/web", "--token-for", "demo/api"]);
    const [web, api] = [path("istio-token-demo-web"), path("istio-token-demo-api")];
    expect(ca.out).toContain("token for demo/web in ./istio-token-demo-web");
    expect(ca.out).toContain("token for demo/api in ./istio-token-demo-api");
    expect([web, api].map((file) => statSync(file).mode & 0o777)).toEqual([0o600, 0o600]);
    expect(await signs(directory.path, ca.port, web, "demo/sa/web")).toBe(true);
    expect(await signs(directory.path, ca.port, api, "demo/sa/api")).toBe(true);
    expect(await signs(directory.path, ca.port, api, "demo/sa/web")).toBe(false);

    const printed = await runProgram(attache, ["ca", "token", "demo/job"], { cwd: directory.path });
    expect([printed.code, printed.stderr]).toEqual([0, ""]);
    expect(printed.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const words = ["ca", "token", "demo/job", "--token-file", "job-token"];
    const written = await runProgram(attache, words, { cwd: directory.path });
    expect([written.code, written.stdout]).toEqual([0, ""]);
    expect(statSync(path("job-token")).mode & 0o777).toBe(0o600);
    expect(await signs(directory.path, ca.port, path("job-token"), "demo/sa/job")).toBe(true);
  }, 30_000);

  test("25: one --token-for writes the usual file, and named files get their tokens in order", async () => {
    await using directory = await temporaryDirectory();
    {
      await using ca = await startCa(directory.path, ["--token-for", "demo/web"]);
      expect(ca.out).toContain("token for demo/web in ./istio-token");
    }
    const pairs = ["--token-for", "demo/web", "--token-file", "w", "--token-for", "demo/api", "--token-file", "a"];
    await using ca = await startCa(directory.path, pairs);
    expect(ca.out).toContain("token for demo/web in w, token for demo/api in a");
    const subject = (name: string): string => {
      const payload = readFileSync(join(directory.path, name), "utf8").split(".")[1] ?? "";
      return Buffer.from(payload, "base64url").toString();
    };
    expect([subject("w"), subject("a")]).toEqual([
      expect.stringContaining("system:serviceaccount:demo:web"),
      expect.stringContaining("system:serviceaccount:demo:api"),
    ]);
  }, 30_000);

  test.each([
    [["--token-for", "a/b", "--token-for", "c/d", "--token-file", "x"], /give one --token-file for each --token-for/],
    [["--token-for", "nonsense"], /a token is for NAMESPACE\/ACCOUNT, not nonsense/],
    [["token"], /attache ca token NAMESPACE\/ACCOUNT/],
    [["token", "a/b", "c/d"], /unexpected c\/d/],
    [["token", "a/b"], /there is none; start it with `attache ca`/],
    [["tokens"], /unexpected tokens/],
  ])("25: %j is an error that says what to do, and makes no CA", async (args, problem) => {
    await using directory = await temporaryDirectory();
    const { code, stderr } = await runProgram(attache, ["ca", ...args], { cwd: directory.path });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(problem);
    expect(existsSync(join(directory.path, "attache-ca"))).toBe(false);
  });
});
