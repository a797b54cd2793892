// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, renameSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AuthorityError, openAuthority } from "../../../src/ca/embedded/authority.ts";
import { issueCertificate } from "../../../src/ca/embedded/certificates.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const dayMs = 24 * 3_600_000;
const nowMs = Date.parse("2026-06-01T12:00:00Z");
const isRoot = process.getuid?.() === 0;

describe("the embedded CA's root and keys", () => {
  test.each<[string, (directory: string) => void]>([
    [
      "a directory that others may write",
      (directory) => {
        chmodSync(directory, 0o777);
      },
    ],
    [
      "a directory that a group may write",
      (directory) => {
        chmodSync(directory, 0o770);
      },
    ],
    [
      "a key file that others may write",
      (directory) => {
        chmodSync(join(directory, "authority.pem"), 0o666);
      },
    ],
    [
      "a key file that others may read",
      (directory) => {
        chmodSync(join(directory, "authority.pem"), 0o644);
      },
    ],
    [
      "a link in the place of the key file",
      (directory) => {
        renameSync(join(directory, "authority.pem"), join(directory, "elsewhere"));
        symlinkSync("elsewhere", join(directory, "authority.pem"));
      },
    ],
    [
      "a link in the place of the directory",
      (directory) => {
        renameSync(directory, `${directory}.moved`);
        symlinkSync(`${directory}.moved`, directory);
      },
    ],
  ])("are not used from %s", async (_title, change) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    openAuthority(path, nowMs);
    change(path);
    expect(() => openAuthority(path, nowMs)).toThrow(AuthorityError);
    expect(() => openAuthority(path, nowMs)).toThrow(/it is not private/);
  });

  test.runIf(isRoot)("are not used from a directory or a file of another user", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    mkdirSync(path);
    chownSync(path, 1_234, 1_234);
    expect(() => openAuthority(path, nowMs)).toThrow(/it is not private/);
    chownSync(path, 0, 0);
    openAuthority(path, nowMs);
    chownSync(join(path, "authority.pem"), 1_234, 1_234);
    expect(() => openAuthority(path, nowMs)).toThrow(/it is not private/);
  });

  test("are valid also when the clock was days ahead as they were made", async () => {
    await using directory = await temporaryDirectory();
    const ahead = openAuthority(join(directory.path, "ca"), nowMs + 30 * dayMs);
    const later = openAuthority(join(directory.path, "ca"), nowMs);
    expect(later.rootPem).toBe(ahead.rootPem);
    expect(later.rootNotBeforeMs).toBeLessThan(nowMs);
  });

  test.each([-2_000, 4_000])("are valid again %i days later, for what the same key has signed", async (days) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca");
    const first = openAuthority(path, nowMs);
    const second = openAuthority(path, nowMs + days * dayMs);
    expect(second.rootPem).not.toBe(first.rootPem);
    expect(openAuthority(path, nowMs + days * dayMs).rootPem).toBe(second.rootPem);
    expect(statSync(join(path, "authority.pem")).mode & 0o777).toBe(0o600);
    const publicKey = new X509Certificate(first.rootPem).publicKey;
    const leaf = issueCertificate(first.issuer, {
      ...{ subject: undefined, publicKey, use: "workload", uris: ["spiffe://td/ns/a/sa/b"] },
      ...{ notBeforeMs: nowMs, notAfterMs: nowMs + dayMs },
    });
    expect(new X509Certificate(leaf).checkIssued(new X509Certificate(second.rootPem))).toBe(true);
    expect(new X509Certificate(leaf).verify(new X509Certificate(second.rootPem).publicKey)).toBe(true);
  });
});
