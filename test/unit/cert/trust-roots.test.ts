// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { readRoots } from "../../../src/cert/read-certificate.ts";
import { TrustRoots } from "../../../src/cert/trust-roots.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testBudgets } from "../../support/budgets.ts";

const nowMs = Date.parse("2026-06-01T12:00:00Z");
const ca = testAuthority("CA", nowMs).rootPem;
const successor = testAuthority("successor", nowMs).rootPem;
const anchor = testAuthority("anchor", nowMs).rootPem;

test("the CA's roots do not include the mesh's trust anchors, which are trusted only while they are given", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update(readRoots(ca), 1_000, nowMs);
  roots.setAnchors(readRoots(anchor));
  expect(roots.rootsPem).toBe([anchor, ca].sort().join(""));
  expect(roots.caRootsPem).toBe(ca);
  roots.setAnchors([]);
  expect(roots.rootsPem).toBe(ca);
});

test("a root that the CA no longer returns stays for the given time", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update(readRoots(ca), 1_000, nowMs);
  roots.update(readRoots(successor), 1_000, nowMs);
  roots.prune(nowMs + 999);
  expect(roots.caRootsPem).toBe([ca, successor].sort().join(""));
  roots.prune(nowMs + 1_000);
  expect(roots.rootsPem).toBe(successor);
});

test("a root that the CA no longer returns stays no longer because the clock was set back", () => {
  const roots = new TrustRoots(testBudgets());
  roots.update(readRoots(ca), 1_000, nowMs);
  roots.update(readRoots(successor), 1_000, nowMs + 3_600_000);
  roots.prune(nowMs);
  expect(roots.caRootsPem).toBe([ca, successor].sort().join(""));
  roots.prune(nowMs + 1_000);
  expect(roots.rootsPem).toBe(successor);
});

test("a CA with other roots in each response does not make the bundle grow: the oldest of the dropped ones go", () => {
  const roots = new TrustRoots(testBudgets({ "ca-roots": 2 }));
  roots.update(readRoots(ca), 1_000, nowMs);
  roots.update(readRoots(successor), 1_000, nowMs + 1);
  roots.update(readRoots(anchor), 1_000, nowMs + 2);
  expect(roots.caRootsPem).toBe([successor, anchor].sort().join(""));
});

test("a bundle with more roots than the limit is rejected", () => {
  const limit = testBudgets({ "ca-roots": 1 }).of("ca-roots");
  expect(readRoots(ca, limit)).toHaveLength(1);
  expect(() => readRoots(ca + successor, limit)).toThrow("root bundle: limit ca-roots of 1 items is reached");
});
