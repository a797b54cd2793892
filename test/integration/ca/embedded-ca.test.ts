// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync, sign } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type CaClient,
  createCaClient,
  type EmbeddedCa,
  type EmbeddedCaOptions,
  startEmbeddedCa,
} from "../../../src/ca/index.ts";
import { checkResponse } from "../../../src/cert/response-check.ts";
import { createKeyAndRequest } from "../../../src/cert/csr.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testSpiffeId } from "../../support/test-authority.ts";
import { signingRequest, unchecked } from "../../support/signing.ts";
import { testLog } from "../../support/test-log.ts";
import { testBudgets } from "../../support/budgets.ts";

const never = new AbortController().signal;
const hourMs = 3_600_000;

function options(directory: string, more: Partial<EmbeddedCaOptions> = {}): EmbeddedCaOptions {
  return {
    directory: join(directory, "ca"),
    host: "127.0.0.1",
    port: 0,
    serverNames: [],
    trustDomain: "cluster.local",
    audience: "istio-ca",
    defaultTtlMs: hourMs,
    maxTtlMs: 24 * hourMs,
    backdateMs: 120_000,
    trustedTokenKeysPem: [],
    ...more,
  };
}

async function clientOf(ca: EmbeddedCa, directory: string, token: string | undefined): Promise<CaClient> {
  const tokenPath = join(directory, "token");
  if (token !== undefined) await writeFile(tokenPath, token);
  return createCaClient(
    {
      kind: "istio",
      host: ca.host,
      port: ca.port,
      security: {
        kind: "tls",
        serverName: "localhost",
        roots: { kind: "file", path: join(directory, "ca", "root-cert.pem") },
        client: undefined,
        policy: "default",
      },
      tokenPath: token === undefined ? undefined : tokenPath,
      cloudToken: undefined,
      clusterId: "",
      certSigner: "",
      headers: {},
      timeoutPerTryMs: 5_000,
      keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    },
    { log: testLog().log, clock: systemClock, budgets: testBudgets() },
  );
}

const web = { namespace: "demo", serviceAccount: "web", ttlMs: hourMs };

describe("the embedded CA", () => {
  test.each([
    { kind: "rsa", bits: 2048 },
    { kind: "ec", curve: "P-256" },
    { kind: "ec", curve: "P-384" },
  ] as const)("signs for a $kind key what the agent accepts", async (algorithm) => {
    await using directory = await temporaryDirectory();
    await using ca = await startEmbeddedCa(options(directory.path), {
      log: testLog().log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    await using client = await clientOf(ca, directory.path, ca.issueToken(web));
    const { csrPem, privateKey } = await createKeyAndRequest(algorithm, testSpiffeId);
    const nowMs = Date.now();
    const answer = await client.sign(signingRequest(csrPem, 2 * hourMs), unchecked, never);
    const { leaf } = checkResponse(answer, {
      privateKey,
      spiffeId: testSpiffeId,
      strictTrustDomain: false,
      nowMs,
      maxSkewMs: 0,
      budgets: testBudgets(),
    });
    expect(leaf.notAfterMs - nowMs).toBeGreaterThan(2 * hourMs - 5_000);
    expect(nowMs - leaf.notBeforeMs).toBeGreaterThanOrEqual(119_000);
    expect(answer.rootsPem).toBe(ca.rootPem);
    expect(leaf.x509.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  });

  test("keeps its root over a restart, with the key readable by its owner only", async () => {
    await using directory = await temporaryDirectory();
    const deps = { log: testLog().log, clock: systemClock, budgets: testBudgets() };
    await using first = await startEmbeddedCa(options(directory.path), deps);
    await using second = await startEmbeddedCa(options(directory.path), deps);
    expect(second.rootPem).toBe(first.rootPem);
    const file = await stat(join(directory.path, "ca", "authority.pem"));
    expect(file.mode & 0o777).toBe(0o600);
    expect(await readFile(join(directory.path, "ca", "root-cert.pem"), "utf8")).toBe(first.rootPem);
  });

  test("limits lifetimes, and the limit may change while it runs", async () => {
    await using directory = await temporaryDirectory();
    let maxTtlMs = 60_000;
    const limits = Object.defineProperty(options(directory.path), "maxTtlMs", { get: () => maxTtlMs });
    await using ca = await startEmbeddedCa(limits, { log: testLog().log, clock: systemClock, budgets: testBudgets() });
    await using client = await clientOf(ca, directory.path, ca.issueToken(web));
    const { csrPem, privateKey } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
    const leftMs = async (): Promise<number> => {
      const answer = await client.sign(signingRequest(csrPem, hourMs), unchecked, never);
      const nowMs = Date.now();
      return (
        checkResponse(answer, {
          privateKey,
          spiffeId: testSpiffeId,
          strictTrustDomain: false,
          nowMs,
          maxSkewMs: 0,
          budgets: testBudgets(),
        }).leaf.notAfterMs - nowMs
      );
    };
    expect(await leftMs()).toBeLessThanOrEqual(60_000);
    maxTtlMs = 24 * hourMs;
    expect(await leftMs()).toBeGreaterThan(hourMs - 5_000);
  });

  test.each<[string, (ca: EmbeddedCa) => string | undefined, string]>([
    ["no token", () => undefined, "UNAUTHENTICATED: check the token"],
    ["nonsense", () => "nonsense", "UNAUTHENTICATED: check the token: it is not a JWT"],
    ["a forged token", (ca) => `${ca.issueToken(web).slice(0, -8)}AAAAAAAA`, "its signature is not by a known key"],
    ["another audience", (ca) => ca.issueToken({ ...web, audience: "other" }), "its audience is not istio-ca"],
    ["another identity", (ca) => ca.issueToken({ ...web, serviceAccount: "api" }), "PERMISSION_DENIED: the caller is"],
  ])("rejects %s", async (_name, token, text) => {
    await using directory = await temporaryDirectory();
    const { log, records } = testLog();
    await using ca = await startEmbeddedCa(options(directory.path), {
      log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    await using client = await clientOf(ca, directory.path, token(ca));
    const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
    const expected =
      text.startsWith("UNAUTHENTICATED: check the token") && token(ca) === undefined
        ? "there is no bearer token"
        : text;
    await expect(client.sign(signingRequest(csrPem, hourMs), unchecked, never)).rejects.toThrow(expected);
    expect(records.map((record) => record.message)).toContain("certificate request rejected");
  });

  test("rejects a request that is not signed by its own key, and one that is nonsense", async () => {
    await using directory = await temporaryDirectory();
    await using ca = await startEmbeddedCa(options(directory.path), {
      log: testLog().log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    await using client = await clientOf(ca, directory.path, ca.issueToken(web));
    const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
    const lines = csrPem.split("\n");
    const broken = [...lines.slice(0, 2), lines[2]?.replace(/^...../, "AAAAA"), ...lines.slice(3)].join("\n");
    await expect(client.sign(signingRequest(broken, hourMs), unchecked, never)).rejects.toThrow(
      "INVALID_ARGUMENT: read the signing request",
    );
    await expect(client.sign(signingRequest("nonsense", hourMs), unchecked, never)).rejects.toThrow(
      "it is not a PEM request",
    );
  });

  test("rejects a request with names besides the identity", async () => {
    await using directory = await temporaryDirectory();
    await using ca = await startEmbeddedCa(options(directory.path), {
      log: testLog().log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    await using client = await clientOf(ca, directory.path, ca.issueToken(web));
    const request = async (names: string): Promise<string> => {
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"];
      const subject = ["-subj", "/", "-addext", `subjectAltName=critical,${names}`];
      return (await runProgram("openssl", ["req", "-new", ...key, ...subject])).stdout;
    };
    const alone = await request(`URI:${testSpiffeId}`);
    await expect(client.sign(signingRequest(alone, hourMs), unchecked, never)).resolves.toMatchObject({
      rootsPem: ca.rootPem,
    });
    for (const more of ["DNS:istiod.istio-system.svc", "IP:10.0.0.1", "URI:spiffe://cluster.local/ns/a/sa/b"]) {
      const wider = await request(`URI:${testSpiffeId},${more}`);
      await expect(client.sign(signingRequest(wider, hourMs), unchecked, never)).rejects.toThrow(
        /INVALID_ARGUMENT|PERMISSION_DENIED/,
      );
    }
  });

  test("accepts RS256 tokens of another issuer whose key it was given", async () => {
    await using directory = await temporaryDirectory();
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const trusted = publicKey.export({ type: "spki", format: "pem" });
    await using ca = await startEmbeddedCa(options(directory.path, { trustedTokenKeysPem: [trusted] }), {
      log: testLog().log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { sub: "system:serviceaccount:demo:web", aud: "istio-ca", exp: Date.now() / 1_000 + 60 };
    const signed = `${part({ alg: "RS256" })}.${part(claims)}`;
    const token = `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
    await using client = await clientOf(ca, directory.path, token);
    const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
    await client.sign(signingRequest(csrPem, hourMs), unchecked, never);
  });

  test("warns when it listens beyond this machine", async () => {
    await using directory = await temporaryDirectory();
    const { log, records } = testLog();
    await using _ca = await startEmbeddedCa(options(directory.path, { host: "0.0.0.0" }), {
      log,
      clock: systemClock,
      budgets: testBudgets(),
    });
    expect(records.filter((record) => record.level === "warn").map((record) => record.fields)).toEqual([
      { host: "0.0.0.0" },
    ]);
  });

  test("reports a port that is taken", async () => {
    await using directory = await temporaryDirectory();
    const deps = { log: testLog().log, clock: systemClock, budgets: testBudgets() };
    await using first = await startEmbeddedCa(options(directory.path), deps);
    await expect(startEmbeddedCa(options(directory.path, { port: first.port }), deps)).rejects.toThrow(
      `cannot listen on 127.0.0.1:${String(first.port)}`,
    );
  });

  test("a damaged file is reported, and not replaced", async () => {
    await using directory = await temporaryDirectory();
    const deps = { log: testLog().log, clock: systemClock, budgets: testBudgets() };
    await (await startEmbeddedCa(options(directory.path), deps))[Symbol.asyncDispose]();
    const path = join(directory.path, "ca", "authority.pem");
    await writeFile(path, "damaged");
    await expect(startEmbeddedCa(options(directory.path), deps)).rejects.toMatchObject({ code: "AGENT_EMBEDDED_CA" });
    expect(await readFile(path, "utf8")).toBe("damaged");
  });
});
