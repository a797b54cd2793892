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
import { peerCases } from "../../support/peer-cases.ts";
import { testSpiffeId } from "../../support/test-authority.ts";
import { testBudgets } from "../../support/budgets.ts";

const pemOf = (certificates: readonly Forged[]): string => certificates.map(({ pem }) => pem).join("");

function check(chain: readonly Forged[], roots: readonly Forged[]): CheckedResponse {
  const [leaf] = chain;
  if (leaf === undefined) throw new Error("no leaf");
  const expected = {
    privateKey: leaf.key,
    spiffeId: testSpiffeId,
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
    const startMs = performance.now();
    expect(() => check([leaf], [...twins, root])).toThrow(/the chain does not lead to any of the given roots/);
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });
});
