// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type EmbeddedCa, startEmbeddedCa } from "../../src/ca/index.ts";
import { issueCertificate } from "../../src/ca/embedded/certificates.ts";
import { openAuthority } from "../../src/ca/embedded/authority.ts";
import { renderPrivateKey } from "../../src/cert/csr.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { contentOf, SdsClient } from "../fakes/sds-client.ts";
import { testBudgets } from "../support/budgets.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { newKey, publicKeyOf, testSpiffeId } from "../support/test-authority.ts";
import { testLog } from "../support/test-log.ts";

const hourMs = 3_600_000;

async function startCa(directory: string): Promise<EmbeddedCa> {
  const options = {
    directory,
    host: "127.0.0.1",
    port: 0,
    serverNames: [],
    trustDomain: "cluster.local",
    audience: "istio-ca",
    defaultTtlMs: hourMs,
    maxTtlMs: 24 * hourMs,
    backdateMs: 120_000,
    trustedTokenKeysPem: [],
  };
  return await startEmbeddedCa(options, { log: testLog().log, clock: systemClock, budgets: testBudgets() });
}

interface Provisioned {
  readonly uri?: string;
  readonly notAfterMs?: number;
  /** Of another CA that is called. */
  readonly otherRootPem?: string;
}

/** A certificate of the CA in the files of `PROV_CERT`, as an administrator puts it on a machine. */
function writeProvisioned(
  caDirectory: string,
  target: string,
  { uri, notAfterMs, otherRootPem = "" }: Provisioned,
): string {
  const nowMs = Date.now();
  const { issuer, rootPem } = openAuthority(caDirectory, nowMs);
  const key = newKey();
  const chainPem = issueCertificate(issuer, {
    subject: undefined,
    publicKey: publicKeyOf(key),
    use: "workload",
    uris: [uri ?? testSpiffeId],
    notBeforeMs: nowMs - 2 * hourMs,
    notAfterMs: notAfterMs ?? nowMs + hourMs,
  });
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "cert-chain.pem"), chainPem);
  writeFileSync(join(target, "key.pem"), renderPrivateKey(key, true));
  writeFileSync(join(target, "root-cert.pem"), rootPem + otherRootPem);
  return new X509Certificate(chainPem).serialNumber;
}

async function servedSerial(pod: Pod): Promise<string> {
  using client = new SdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"));
  return new X509Certificate(contentOf((await client.fetch(["default"])).resources[0])).serialNumber;
}

/** A machine without a token. */
function machine(port: number, caDirectory: string, given: Provisioned, serials: string[] = []): PodOptions {
  return {
    ca: { port, serverRootPem: undefined },
    token: "",
    env: { PROV_CERT: "./provisioned" },
    prepare: ({ directory }) => {
      serials.push(writeProvisioned(caDirectory, join(directory, "provisioned"), given));
    },
  };
}

describe("A10: a machine that boots with a valid certificate and no token", () => {
  test("A10: gets a new one from the embedded CA, and its files stay as they are", async () => {
    await using directory = await temporaryDirectory();
    await using ca = await startCa(directory.path);
    const serials: string[] = [];
    await using pod = await startPod(machine(ca.port, directory.path, {}, serials));
    await pod.untilReady();
    await eventually(
      async () => {
        expect(await servedSerial(pod)).not.toBe(serials[0]);
      },
      { withinMs: 5_000 },
    );
    expect((await pod.readiness()).status).toBe(200);
    const kept = new X509Certificate(readFileSync(join(pod.directory, "provisioned/cert-chain.pem")));
    expect(kept.serialNumber).toBe(serials[0]);
  });

  test("A10: serves the valid one while the CA refuses, and the new one afterwards", async () => {
    await using directory = await temporaryDirectory();
    await using ca = await startFakeCa();
    ca.set({ kind: "refuse", status: "PERMISSION_DENIED" });
    const serials: string[] = [];
    await using pod = await startPod(machine(ca.port, directory.path, { otherRootPem: ca.serverRootPem }, serials));
    await pod.untilReady();
    expect(await servedSerial(pod)).toBe(serials[0]);
    await eventually(
      () => {
        expect(pod.log()).toContain("PERMISSION_DENIED");
      },
      { withinMs: 5_000 },
    );
    expect(await servedSerial(pod)).toBe(serials[0]);
    expect((await pod.readiness()).status).toBe(200);
    ca.recover();
    await eventually(
      async () => {
        expect(await servedSerial(pod)).not.toBe(serials[0]);
      },
      { withinMs: 15_000 },
    );
  }, 30_000);

  test.each([
    ["that has expired", { notAfterMs: Date.now() - 60_000 }],
    ["of another account", { uri: "spiffe://cluster.local/ns/demo/sa/api" }],
    ["of another namespace", { uri: "spiffe://cluster.local/ns/other/sa/web" }],
  ])("A10: a certificate %s is neither served nor enough for another one", async (_name, given) => {
    await using directory = await temporaryDirectory();
    await using ca = await startCa(directory.path);
    await using pod = await startPod(machine(ca.port, directory.path, given));
    await eventually(
      () => {
        expect(pod.log()).toContain("no certificate from the CA");
      },
      { withinMs: 8_000 },
    );
    const { status, body } = await pod.readiness();
    expect(status).toBe(503);
    expect(body).toMatch(/identity/);
  });
});
