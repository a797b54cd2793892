// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { readRoots } from "../../../src/cert/read-certificate.ts";
import { type GivenRoot, rootsOfPeers } from "../../../src/cert/trust-domains.ts";
import { TrustRoots } from "../../../src/cert/trust-roots.ts";
import { publicKeyOf, testAuthority } from "../../support/test-authority.ts";
import { testBudgets } from "../../support/budgets.ts";

const nowMs = Date.parse("2026-06-01T12:00:00Z");
const ca = testAuthority("CA", nowMs).rootPem;
const successor = testAuthority("successor", nowMs).rootPem;
const anchor = testAuthority("anchor", nowMs).rootPem;

function given(pem: string, trustDomain?: string): readonly GivenRoot[] {
  return readRoots(pem).map((root) => ({ root, trustDomain }));
}

function trusted(roots: TrustRoots): string {
  return rootsOfPeers(roots.domains).rootsPem;
}

test("A3: a trust anchor that is withdrawn stays for the given time, and is not kept over a restart", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("mesh", given(anchor), 1_000, nowMs);
  expect(trusted(roots)).toBe([anchor, ca].sort().join(""));
  expect(roots.lastingRootsPem).toBe(ca);
  roots.update("mesh", [], 1_000, nowMs);
  roots.prune(nowMs + 999);
  expect(trusted(roots)).toBe([anchor, ca].sort().join(""));
  roots.prune(nowMs + 1_000);
  expect(trusted(roots)).toBe(ca);
});

test("A3: a root that several sources give stays as long as one of them gives it", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update("ca", given(ca), 0, nowMs);
  roots.update("file root-cert.pem", given(ca + successor), 0, nowMs);
  roots.update("ca", given(successor), 0, nowMs);
  expect(trusted(roots)).toBe([ca, successor].sort().join(""));
  expect(roots.lastingRootsPem).toBe([ca, successor].sort().join(""));
  roots.update("file root-cert.pem", given(successor), 0, nowMs);
  expect(trusted(roots)).toBe(successor);
});

test("a root that the CA no longer returns stays for the given time", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("ca", given(successor), 1_000, nowMs);
  roots.prune(nowMs + 999);
  expect(trusted(roots)).toBe([ca, successor].sort().join(""));
  roots.prune(nowMs + 1_000);
  expect(trusted(roots)).toBe(successor);
});

test("a root that the CA no longer returns stays no longer because the clock was set back", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("ca", given(successor), 1_000, nowMs + 3_600_000);
  roots.prune(nowMs);
  expect(trusted(roots)).toBe([ca, successor].sort().join(""));
  roots.prune(nowMs + 1_000);
  expect(trusted(roots)).toBe(successor);
});

test("a CA with other roots in each response does not make the bundle grow: the oldest of the dropped ones go", () => {
  const roots = new TrustRoots(testBudgets({ "ca-roots": 2 }));
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("ca", given(successor), 1_000, nowMs + 1);
  roots.update("ca", given(anchor), 1_000, nowMs + 2);
  expect(trusted(roots)).toBe([successor, anchor].sort().join(""));
});

test("A1: roots of another trust domain are not among the own ones, and go as soon as they are not given", () => {
  const roots = new TrustRoots(testBudgets(), ["a.example"]);
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("mesh", given(anchor, "b.example"), 1_000, nowMs);
  const own = { trustDomain: "a.example", rootsPem: ca, isOwn: true };
  const other = { trustDomain: "b.example", rootsPem: anchor, isOwn: false };
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: ca, domains: [own, other] });
  roots.addOwnDomain("alias.example");
  const alias = { ...own, trustDomain: "alias.example" };
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: ca, domains: [own, alias, other] });
  roots.update("mesh", [], 1_000, nowMs);
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: ca });
});

test("A1: anchors for the own trust domain or an alias of it are own roots", () => {
  const roots = new TrustRoots(testBudgets(), ["a.example", "alias.example"]);
  roots.update("mesh", [...given(ca, "a.example"), ...given(anchor, "alias.example")], 1_000, nowMs);
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: [anchor, ca].sort().join("") });
});

test("A1: a trust domain with the own roots needs no verification of its own, until another domain does", () => {
  const roots = new TrustRoots(testBudgets(), ["a.example"]);
  roots.update("ca", given(ca), 1_000, nowMs);
  roots.update("mesh", given(ca, "b.example"), 1_000, nowMs);
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: ca });
  roots.update("mesh", [...given(ca, "b.example"), ...given(anchor, "c.example")], 1_000, nowMs);
  expect(rootsOfPeers(roots.domains).domains?.map(({ trustDomain }) => trustDomain)).toEqual([
    "a.example",
    "b.example",
    "c.example",
  ]);
});

test("A1: other trust domains are left out beside an own root that Envoy could not verify with", () => {
  const rootAuthority = testAuthority("upper", nowMs);
  const lower = testAuthority("lower", nowMs);
  const publicKey = publicKeyOf(lower.issuer.privateKey);
  const intermediate = rootAuthority.issue({ subject: "lower", publicKey, use: "authority", uris: [] }, nowMs);
  const roots = new TrustRoots(testBudgets(), ["a.example"]);
  roots.update("ca", given(intermediate), 1_000, nowMs);
  roots.update("mesh", given(anchor, "b.example"), 1_000, nowMs);
  expect(rootsOfPeers(roots.domains)).toEqual({ rootsPem: intermediate });
  expect(roots.domains.problems).toEqual([expect.stringContaining("other trust domains are left out of ROOTCA")]);
  roots.update("ca", given(intermediate + rootAuthority.rootPem), 1_000, nowMs);
  expect(roots.domains.problems).toEqual([]);
  expect(rootsOfPeers(roots.domains).domains).toHaveLength(2);
});

test("a bundle with more roots than the limit is rejected", () => {
  const limit = testBudgets({ "ca-roots": 1 }).of("ca-roots");
  expect(readRoots(ca, limit)).toHaveLength(1);
  expect(() => readRoots(ca + successor, limit)).toThrow("root bundle: limit ca-roots of 1 items is reached");
});
