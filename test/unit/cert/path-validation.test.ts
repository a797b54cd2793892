// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ResponseError } from "../../../src/cert/errors.ts";
import { checkProvided } from "../../../src/cert/provided-identity.ts";
import { checkResponse, type CheckedResponse } from "../../../src/cert/response-check.ts";
import {
  authorityExtensions,
  extensionOf,
  type Forged,
  forgeCertificate,
  spiffeUri,
  workloadExtensions,
} from "../../support/forged-certificates.ts";
import { type PeerCase, peerCases } from "../../support/peer-cases.ts";
import { testSpiffeId } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import type { ProvidedIdentity } from "../../../src/model/provided-identity.ts";
import { testBudgets } from "../../support/budgets.ts";
import { processorTime } from "../../support/processor-time.ts";

const pemOf = (certificates: readonly Forged[]): string => certificates.map(({ pem }) => pem).join("");

function check(chain: readonly Forged[], roots: readonly Forged[]): CheckedResponse {
  const [leaf] = chain;
  if (leaf === undefined) throw new Error("no leaf");
  const expected = {
    privateKey: leaf.key,
    spiffeId: testSpiffeId,
    strictTrustDomain: false,
    nowMs: Date.now(),
    maxSkewMs: 60_000,
    budgets: testBudgets(),
  };
  return checkResponse({ chainPem: pemOf(chain), rootsPem: pemOf(roots) }, expected);
}

describe("a provided identity is checked as peers check it:", () => {
  test.each(peerCases)("$name", ({ build, agentAccepts }) => {
    const { chain, roots } = build();
    const identity = { chainPem: pemOf(chain), keyPem: chain[0]?.keyPem ?? "", rootsPem: pemOf(roots) };
    const checked = (): unknown => checkProvided(identity, { nowMs: Date.now(), budgets: testBudgets(), pair: "new" });
    if (agentAccepts) expect(checked).not.toThrow();
    else expect(checked).toThrow(ResponseError);
  });
});

test("no pair that peers would reject replaces a good one, nor do its roots", async () => {
  const [good, ...others] = [...peerCases].sort((a, b) => Number(b.agentAccepts) - Number(a.agentAccepts));
  const bad = others.filter((one) => !one.agentAccepts);
  const identityOf = ({ build }: PeerCase): ProvidedIdentity => {
    const { chain, roots } = build();
    return { chainPem: pemOf(chain), keyPem: chain[0]?.keyPem ?? "", rootsPem: pemOf(roots) };
  };
  if (good === undefined) throw new Error("no good case");
  const kept = identityOf(good);
  const given = Promise.withResolvers<undefined>();
  await using pod = testStore({
    name: "test",
    async *watch(signal) {
      for (const one of [kept, ...bad.map(identityOf)]) yield { kind: "identity", identity: one };
      given.resolve(undefined);
      await untilAborted(signal);
    },
  });
  const secrets = [pod.collect("default"), pod.collect("ROOTCA")];
  await given.promise;
  expect(secrets).toEqual([
    [expect.objectContaining({ chainPem: kept.chainPem, keyPem: kept.keyPem })],
    [{ kind: "trust-bundle", rootsPem: kept.rootsPem }],
  ]);
  expect(pod.outcomes).toEqual(["ok", ...bad.map(() => "unusable")]);
  expect(bad.length).toBeGreaterThan(50);
});

describe("a CA's response", () => {
  const root = forgeCertificate({ subject: "root", extensions: authorityExtensions() });
  const leafBy = (issuer: Forged, extensions = workloadExtensions()): Forged =>
    forgeCertificate({ issuer, extensions });

  test.each(peerCases.filter((one) => !one.agentAccepts && !/across|twin/.test(one.name)))(
    "is rejected with $name",
    ({ build }) => {
      const { chain, roots } = build();
      expect(() => check(chain, roots)).toThrow(ResponseError);
    },
  );

  test("has the certificates of its path first, because peers use the first issuer that they find", () => {
    const old = forgeCertificate({ subject: "old", extensions: authorityExtensions() });
    const byOld = forgeCertificate({ subject: "int", issuer: old, extensions: authorityExtensions() });
    const expired = forgeCertificate({
      ...{ subject: "int", issuer: root, key: byOld.key, extensions: authorityExtensions() },
      notAfterMs: Date.now() - 1,
    });
    const byRoot = forgeCertificate({
      subject: "int",
      issuer: root,
      key: byOld.key,
      extensions: authorityExtensions(),
    });
    const leaf = leafBy(byRoot);
    const { chain } = check([leaf, byOld, expired, byRoot], [root]);
    expect(chain.map(({ pem }) => pem)).toEqual([leaf, byRoot, byOld, expired].map(({ pem }) => pem));
  });

  test("says what peers would reject", () => {
    const between = forgeCertificate({
      ...{ subject: "int", issuer: root },
      extensions: authorityExtensions(extensionOf.nameConstraints(["URI:other.example"])),
    });
    expect(() => check([leafBy(between), between], [root])).toThrow(
      'peers would reject the certificate: the authority "O=int" does not permit the names below it',
    );
  });

  test.each([
    ["another URI beside", [spiffeUri, "URI:https://example.com"]],
    ["a second SPIFFE ID", [spiffeUri, "URI:spiffe://cluster.local/ns/kube-system/sa/admin"]],
    ["the name in a DNS name", [`DNS:x, ${spiffeUri}`]],
  ])("that has %s is rejected", (_title, names) => {
    const extensions = [...workloadExtensions().slice(0, 3), extensionOf.alternativeNames(...names)];
    expect(() => check([leafBy(root, extensions)], [root])).toThrow(/the certificate names/);
  });

  test("with many roots of one name costs a bounded number of verifications", () => {
    const twins = Array.from({ length: 300 }, () =>
      forgeCertificate({ subject: "root", extensions: authorityExtensions() }),
    );
    const leaf = leafBy(root);
    const elapsedMs = processorTime();
    expect(() => check([leaf], [...twins, root])).toThrow(/the chain does not lead to any of the given roots/);
    expect(elapsedMs()).toBeLessThan(1_000);
  });
});
