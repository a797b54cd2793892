// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { TimeSlice } from "../../../../src/lib/async/time-slice.ts";
import { pushResources } from "../../../../src/xds/agent-resources/agent-resource-type.ts";
import { createTrustAnchors } from "../../../../src/xds/agent-resources/trust-anchors.ts";
import { bytesField } from "../../../../src/xds/protocol/wire.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { processorTime } from "../../../support/processor-time.ts";

function newRoot(): string {
  const directory = mkdtempSync(join(tmpdir(), "anchors-"));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", join(directory, "key")];
  execFileSync("openssl", ["req", "-x509", ...key, "-out", join(directory, "pem"), "-subj", "/O=root"], {
    stdio: "ignore",
  });
  const pem = readFileSync(join(directory, "pem"), "utf8");
  rmSync(directory, { recursive: true });
  return pem;
}

const signal = new AbortController().signal;

function anchorsUnderTest(budgets = testBudgets()) {
  const published: (readonly string[])[] = [];
  const publish = (pems: readonly string[]) => {
    published.push(pems);
    return Promise.resolve();
  };
  const type = createTrustAnchors({ clock: systemClock, budgets, publish });
  const apply = async (resources: ReadonlyMap<string, Uint8Array>): Promise<void> => {
    using update = await type.begin(signal);
    await pushResources(update, resources, new TimeSlice(systemClock));
    await update.commit(new Set());
  };
  return { published, apply };
}

function config(...entries: readonly string[]): ReadonlyMap<string, Uint8Array> {
  return new Map([["0", Buffer.concat(entries.map((entry) => bytesField(34, Buffer.from(entry))))]]);
}

test("anchors are published when they change, without duplicates, and removed when none are left", async () => {
  const { published, apply } = anchorsUnderTest();
  const [one, two] = [newRoot(), newRoot()];
  await apply(config(one, two, one));
  await apply(config(one, two));
  await apply(new Map());
  expect(published.map((pems) => pems.length)).toEqual([2, 0]);
});

test("an entry that is not a CA certificate rejects the whole set, and the previous one stays", async () => {
  const { published, apply } = anchorsUnderTest();
  const root = newRoot();
  const broken = root.replace(/\n[A-Za-z0-9+/]{10}/, "\nAAAAAAAAAA");
  const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  for (const entry of ["nonsense", broken, key, ""]) {
    const applying = async () => apply(config(root, entry));
    await expect(applying()).rejects.toMatchObject({ code: "AGENT_XDS_TRUST_ANCHORS" });
  }
  expect(published).toEqual([]);
});

test("as many roots as the limit are taken; with one more the set is rejected with the limit's name", async () => {
  const { published, apply } = anchorsUnderTest(testBudgets({ "trust-roots": 2 }));
  const roots = [newRoot(), newRoot(), newRoot()];
  await apply(config(roots.slice(0, 2).join("")));
  await expect(apply(config(...roots))).rejects.toThrow("limit trust-roots of 2 items is reached");
  expect(published.map((pems) => pems.length)).toEqual([2]);
});

test("very many empty entries and unknown fields are rejected before they are decoded", async () => {
  const { published, apply } = anchorsUnderTest();
  for (const field of [34, 99]) {
    const empty = bytesField(field, new Uint8Array(0));
    const many = Buffer.concat(Array.from({ length: 1_000_000 }, () => empty));
    const elapsedMs = processorTime();
    await expect(apply(new Map([["0", many]]))).rejects.toThrow("limit trust-roots of 200 items is reached");
    expect(elapsedMs()).toBeLessThan(200);
  }
  expect(published).toEqual([]);
});
