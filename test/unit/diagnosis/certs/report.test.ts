// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { loadChainChecks } from "../../../../src/cert/index.ts";
import { readPem } from "../../../../src/diagnosis/certs/read-pem.ts";
import { renderReport } from "../../../../src/diagnosis/certs/render-certs.ts";
import { reportWorkload } from "../../../../src/diagnosis/certs/report.ts";
import { anchorsOf, type DomainPem, parseWorkloadIdentity } from "../../../../src/diagnosis/certs/workload-identity.ts";
import { noPaint } from "../../../../src/lib/paint.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../../support/test-authority.ts";

const nowMs = Date.UTC(2026, 5, 1, 12);
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const checks = await loadChainChecks();
const mesh = testAuthority("mesh", nowMs);
const partner = testAuthority("partner", nowMs);
const publicKey = publicKeyOf(newKey());

interface Given {
  readonly chainPem?: string;
  readonly roots?: readonly DomainPem[];
  readonly renewal?: object | undefined;
  readonly envoy?: ReadonlyMap<string, string>;
}

function report({ chainPem = mesh.issue({ publicKey }, nowMs), roots = ownRoots, envoy, ...rest }: Given = {}) {
  const renewal = {
    state: "valid",
    source: "ca",
    attempts: 1,
    failuresInARow: 0,
    rotationDueMs: nowMs + 30 * minuteMs,
  };
  const document = { chainPem, roots: roots.map((one) => ({ ...one })), renewal, ...rest };
  const identity = parseWorkloadIdentity(
    JSON.parse(JSON.stringify(document)) as Parameters<typeof parseWorkloadIdentity>[0],
  );
  const chain = readPem(identity.chainPem, checks).certificates;
  return reportWorkload(identity, { chain, anchors: anchorsOf(identity.roots, checks), envoy }, checks, nowMs);
}

const ownRoots: readonly DomainPem[] = [{ trustDomain: undefined, rootsPem: mesh.rootPem }];
const federated: readonly DomainPem[] = [
  { trustDomain: "cluster.local", rootsPem: mesh.rootPem },
  { trustDomain: "partner.example", rootsPem: partner.rootPem },
];
const facts = (given?: Given): readonly string[] =>
  report(given).findings.map(({ outcome, fact }) => `${outcome}: ${fact}`);

test("a valid certificate, and its next renewal", () => {
  expect(facts()).toEqual([
    'ok: the certificate is valid for 1 h, verified by the root "O=mesh"',
    "ok: the next renewal is due in 30 min",
  ]);
});

test("a renewal whose time has come is due now, not in the past", () => {
  const late = { state: "valid", source: "ca", attempts: 2, rotationDueMs: nowMs - 2_000 };
  expect(facts({ renewal: { ...late, failuresInARow: 0 } })).toContain("ok: the next renewal is due now");
  expect(facts({ renewal: { ...late, failuresInARow: 1, lastError: "refused" } })).toContain(
    "warn: renewal has failed once; next attempt now: refused",
  );
});

test("each root is shown with its trust domain, and verifies no other", () => {
  const text = renderReport(report({ roots: federated }), noPaint);
  expect(text).toContain("ROOT OF cluster.local\n");
  expect(text).toContain("ROOT OF partner.example\n");
  const foreign = mesh.issue({ publicKey, uris: ["spiffe://partner.example/ns/demo/sa/web"] }, nowMs);
  expect(facts({ chainPem: foreign, roots: federated })[0]).toBe(
    'fail: its issuer "O=mesh" is unknown: it leads to none of the roots ("O=partner")',
  );
  const unknown = mesh.issue({ publicKey, uris: ["spiffe://third.example/ns/demo/sa/web"] }, nowMs);
  expect(facts({ chainPem: unknown, roots: federated })[0]).toBe(
    "fail: there are no roots for the trust domain third.example; there are roots for cluster.local, partner.example",
  );
});

test("an Envoy that has another certificate of this identity is told", () => {
  expect(facts({ envoy: new Map([["ab", testSpiffeId]]) })).toContainEqual(
    "warn: Envoy does not use it, but the certificate with serial AB",
  );
  expect(facts({ envoy: new Map([["ab", "spiffe://cluster.local/ns/x/sa/y"]]) })).toHaveLength(2);
  const chainPem = mesh.issue({ publicKey }, nowMs);
  const serial = new X509Certificate(chainPem).serialNumber.toLowerCase().replace(/^0+/, "");
  expect(facts({ chainPem, envoy: new Map([[serial, testSpiffeId]]) })).toHaveLength(2);
});

const renewalOf = (more: object): object => ({ state: "valid", source: "ca", attempts: 4, failuresInARow: 0, ...more });

test.each<[string, Given, string]>([
  [
    "no certificate yet",
    { chainPem: "", renewal: renewalOf({}) },
    "fail: the workload has no certificate yet; the first request is under way",
  ],
  [
    "none from elsewhere",
    { chainPem: "", renewal: undefined },
    "fail: the workload has no certificate: another process serves it, and is silent",
  ],
  ["no roots", { roots: [] }, "fail: there are no roots to verify it with"],
  [
    "a failing renewal",
    { renewal: renewalOf({ failuresInARow: 3, lastError: "CA: hangs", rotationDueMs: nowMs + 5_000 }) },
    "warn: renewal has failed 3 times in a row; next attempt in 5 s: CA: hangs",
  ],
  [
    "a late renewal",
    { chainPem: mesh.issue({ publicKey, notBeforeMs: nowMs - hourMs, notAfterMs: nowMs + 5 * minuteMs }, nowMs) },
    "warn: the certificate is about to expire, and was not renewed in time",
  ],
  [
    "an expired certificate",
    { chainPem: mesh.issue({ publicKey, notBeforeMs: nowMs - 2 * hourMs, notAfterMs: nowMs - hourMs }, nowMs) },
    "fail: the certificate expired 1 h ago (2026-06-01T11:00:00.000Z)",
  ],
  ["an authority as leaf", { chainPem: mesh.rootPem }, "fail: "],
])("%s", (_what, given, fact) => {
  expect(
    facts(given).some((text) => text.startsWith(fact)),
    facts(given).join("\n"),
  ).toBe(true);
});

test("text of a certificate cannot move the cursor of a terminal", () => {
  const evil = testAuthority("mesh\u001B[2J\u0007", nowMs);
  const chainPem = evil.issue({ publicKey, uris: [`${testSpiffeId}\u001B[1m`] }, nowMs);
  const text = renderReport(report({ chainPem }), noPaint);
  expect(text).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F]/);
});
