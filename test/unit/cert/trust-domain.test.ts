// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { CertConfig } from "../../../src/cert/index.ts";
import { readRequest } from "../../../src/ca/embedded/certificate-request.ts";
import { checkResponse } from "../../../src/cert/response-check.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { signerOf } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { testCertConfig, testStore, type TestStore } from "../../support/test-store.ts";

const ca = testAuthority("root", Date.now());
const renamed = "spiffe://new.example/ns/demo/sa/web";
const changeLine = "the CA issued the certificate in another trust domain; the identity received is used";

/** As istiod: signs this identity, whatever the request names. */
function istiodSigning(identity: () => string, isAuthenticated = true) {
  const requested: string[] = [];
  const signer = signerOf(({ csrPem, spiffeId }) => {
    requested.push(spiffeId);
    const { publicKey } = readRequest(csrPem, testBudgets().of("embedded-ca-csr-bytes"));
    const nowMs = Date.now();
    const chainPem = ca.issue({ publicKey, uris: [identity()], notAfterMs: nowMs + 2_400 }, nowMs);
    return Promise.resolve({ chainPem, rootsPem: ca.rootPem, isAuthenticated });
  });
  return { signer, requested };
}

async function untilOutcomes(pod: TestStore, count: number): Promise<void> {
  await eventually(
    () => {
      expect(pod.outcomes.length).toBeGreaterThanOrEqual(count);
    },
    { withinMs: 8_000 },
  );
}

const changeLines = (pod: TestStore): number => pod.records.filter(({ message }) => message === changeLine).length;

describe("A2: the CA decides the trust domain", () => {
  test("A2: a certificate of the same workload in another trust domain is used, with one line and one count", async () => {
    let identity = renamed;
    const { signer } = istiodSigning(() => identity);
    await using pod = testStore(signer);
    const secrets = pod.collect("default");
    await untilOutcomes(pod, 3);
    expect(pod.outcomes.slice(0, 3)).toEqual(["ok", "ok", "ok"]);
    expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId: renamed });
    expect(secrets[0]).toMatchObject({ kind: "certificate", spiffeId: renamed });
    expect([changeLines(pod), pod.trustDomainChanges()]).toEqual([1, 1]);
    identity = testSpiffeId;
    await eventually(
      () => {
        expect(pod.store.status().spiffeId).toBe(testSpiffeId);
      },
      { withinMs: 8_000 },
    );
    expect([changeLines(pod), pod.trustDomainChanges()]).toEqual([2, 2]);
  });

  test("A2: the requested trust domain causes neither line nor count", async () => {
    const { signer } = istiodSigning(() => testSpiffeId);
    await using pod = testStore(signer);
    await untilOutcomes(pod, 1);
    expect([changeLines(pod), pod.trustDomainChanges()]).toEqual([0, 0]);
  });

  test.each([
    ["another namespace", "spiffe://new.example/ns/other/sa/web"],
    ["another account", "spiffe://new.example/ns/demo/sa/api"],
    ["another namespace in the requested trust domain", "spiffe://cluster.local/ns/other/sa/web"],
    ["a longer path", "spiffe://new.example/ns/demo/sa/web/more"],
    ["a path with dots", "spiffe://new.example/ns/demo/../demo/sa/web"],
    ["another scheme", "https://new.example/ns/demo/sa/web"],
    ["an empty trust domain", "spiffe:///ns/demo/sa/web"],
    ["a trust domain with a port", "spiffe://new.example:8080/ns/demo/sa/web"],
    ["a trust domain with a user", "spiffe://a@new.example/ns/demo/sa/web"],
    ["a trust domain in upper case", "spiffe://New.example/ns/demo/sa/web"],
  ])("A2: %s is never used", async (_name, identity) => {
    const { signer } = istiodSigning(() => identity);
    await using pod = testStore(signer);
    await untilOutcomes(pod, 1);
    expect(pod.outcomes[0]).toBe("wrong-identity");
    expect(pod.store.status().state).toBe("none");
  });

  test("A2: ATTACHE_STRICT_TRUST_DOMAIN and a CA without verified certificate keep the refusal", async () => {
    for (const [isAuthenticated, strictTrustDomain, advice] of [
      [true, true, "ATTACHE_STRICT_TRUST_DOMAIN=false"],
      [false, false, "use TLS, or set TRUST_DOMAIN"],
    ] as const) {
      const { signer } = istiodSigning(() => renamed, isAuthenticated);
      await using pod = testStore(signer, { config: { strictTrustDomain } });
      await untilOutcomes(pod, 1);
      expect(pod.outcomes[0]).toBe("wrong-identity");
      expect(pod.store.status().lastError).toContain(advice);
    }
  });

  test("A2: the chain must lead to the roots, in another trust domain too", () => {
    const privateKey = newKey();
    const nowMs = Date.now();
    const chainPem = ca.issue({ publicKey: publicKeyOf(privateKey), uris: [renamed] }, nowMs);
    const expected = { privateKey, spiffeId: testSpiffeId, strictTrustDomain: false, nowMs, maxSkewMs: 0 };
    const rootsPem = testAuthority("other", nowMs).rootPem;
    const check = (): unknown =>
      checkResponse({ chainPem, rootsPem, isAuthenticated: true }, { ...expected, budgets: testBudgets() });
    expect(check).toThrow("does not lead to any of the given roots");
  });

  test("A2: an empty TRUST_DOMAIN is requested as it is, and the CA's is used; strict says what to set", async () => {
    const identity = { trustDomain: "", namespace: "demo", serviceAccount: "web" };
    const { signer, requested } = istiodSigning(() => renamed);
    await using pod = testStore(signer, { config: { identity } });
    await untilOutcomes(pod, 1);
    expect(requested[0]).toBe("spiffe:///ns/demo/sa/web");
    expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId: renamed });
    await using strict = testStore(signer, { config: { identity, strictTrustDomain: true } });
    await untilOutcomes(strict, 1);
    expect(strict.outcomes[0]).toBe("misconfigured");
  });

  test("A2: an empty TRUST_DOMAIN that the CA repeats is no identity", async () => {
    const identity = { trustDomain: "", namespace: "demo", serviceAccount: "web" };
    const { signer } = istiodSigning(() => "spiffe:///ns/demo/sa/web");
    await using pod = testStore(signer, { config: { identity } });
    await untilOutcomes(pod, 1);
    expect(pod.store.status().lastError).toContain("that is no trust domain; set TRUST_DOMAIN");
  });

  test("A2: a restarted agent finds the identity received in its cache, under the configured one", async () => {
    await using directory = await temporaryDirectory();
    const config: Partial<CertConfig> = { cacheDirectory: directory.path };
    {
      const { signer } = istiodSigning(() => renamed);
      await using pod = testStore(signer, { config });
      await eventually(
        () => {
          expect(readdirSync(directory.path).some((name) => name.endsWith(".json"))).toBe(true);
        },
        { withinMs: 3_000 },
      );
      expect(pod.store.status().spiffeId).toBe(renamed);
    }
    const down = signerOf(() => Promise.reject(new Error("the CA is down")));
    await using pod = testStore(down, { config });
    await eventually(
      () => {
        expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId: renamed });
      },
      { withinMs: 2_000 },
    );
    await using strict = testStore(down, { config: { ...config, strictTrustDomain: true } });
    await untilOutcomes(strict, 1);
    expect(strict.store.status().state).toBe("none");
    expect(testCertConfig.identity.trustDomain).toBe("cluster.local");
  });
});
