// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import { createTrustAnchors } from "../../../../src/xds/agent-resources/trust-anchors.ts";
import { bytesField } from "../../../../src/xds/protocol/wire.ts";

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

function config(...entries: readonly string[]): ReadonlyMap<string, Uint8Array> {
  return new Map([["0", Buffer.concat(entries.map((entry) => bytesField(34, Buffer.from(entry))))]]);
}

test("anchors are published when they change, without duplicates, and removed when none are left", async () => {
  const published: (readonly string[])[] = [];
  const anchors = createTrustAnchors((pems) => published.push(pems));
  const [one, two] = [newRoot(), newRoot()];
  await anchors.apply(config(one, two, one), signal);
  await anchors.apply(config(one, two), signal);
  await anchors.apply(new Map(), signal);
  expect(published.map((pems) => pems.length)).toEqual([2, 0]);
});

test("an entry that is not a CA certificate rejects the whole set, and the previous one stays", async () => {
  const published: (readonly string[])[] = [];
  const anchors = createTrustAnchors((pems) => published.push(pems));
  const root = newRoot();
  const broken = root.replace(/\n[A-Za-z0-9+/]{10}/, "\nAAAAAAAAAA");
  const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  for (const entry of ["nonsense", broken, key, ""]) {
    const applying = async () => anchors.apply(config(root, entry), signal);
    await expect(applying()).rejects.toMatchObject({ code: "AGENT_XDS_TRUST_ANCHORS" });
  }
  expect(published).toEqual([]);
});
