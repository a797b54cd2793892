// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CertOutputConfig } from "../../../src/cert/types.ts";
import { eventually } from "../../support/eventually.ts";
import { signerOf } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testStore, type TestStore } from "../../support/test-store.ts";

const ca = testAuthority("root", Date.now());
const signer = signerOf(({ csrPem }) =>
  Promise.resolve({ chainPem: ca.sign(csrPem, 2_400, Date.now()), rootsPem: ca.rootPem }),
);
const isRoot = process.getuid?.() === 0;
/** A group that the test may give away: any for root, else one of its own. */
const group = isRoot ? 2_000 : (process.getgroups?.().at(-1) ?? process.getgid?.() ?? 0);
const files = ["key.pem", "cert-chain.pem", "root-cert.pem"];
const warning = /readable for every user.*set fsGroup/;

async function modesIn(pod: TestStore, directory: string): Promise<readonly string[]> {
  return await eventually(
    () => {
      expect(pod.store.status().issued).toBeGreaterThan(1);
      return files.map((name) => (statSync(join(directory, name)).mode & 0o7777).toString(8));
    },
    { withinMs: 8_000 },
  );
}

function startStore(directory: string, keyMode: CertOutputConfig["keyMode"]): TestStore {
  return testStore(signer, { config: { output: { directory, keyMode, certificateMode: 0o644 } } });
}

const warningsOf = (pod: TestStore): number => pod.records.filter(({ message }) => warning.test(message)).length;

describe("A4: certificate files that others read", () => {
  test.each([
    ["the volume itself", "certs"],
    ["a directory in the volume that the agent makes", "certs/prometheus"],
  ])("A4: in a volume with fsGroup the key is readable by that group, without a warning: %s", async (_name, path) => {
    await using temporary = await temporaryDirectory();
    const volume = join(temporary.path, "certs");
    mkdirSync(volume);
    chownSync(volume, -1, group);
    chmodSync(volume, 0o2777);
    const directory = join(temporary.path, path);
    await using pod = startStore(directory, "for-readers");
    expect(await modesIn(pod, directory)).toEqual(["640", "644", "644"]);
    expect(files.map((name) => statSync(join(directory, name)).gid)).toEqual([group, group, group]);
    expect(warningsOf(pod)).toBe(0);
    if (!isRoot) return;
    for (const path of [temporary.path, dirname(temporary.path)]) chmodSync(path, 0o711);
    const readAs = (gid: number): string =>
      execFileSync("cat", [join(directory, "key.pem")], { uid: 65_534, gid, encoding: "utf8", stdio: "pipe" });
    expect(readAs(group)).toContain("PRIVATE KEY");
    expect(() => readAs(65_534)).toThrow("Permission denied");
  });

  test("A4: in a volume without a group every user can read the key, with one warning", async () => {
    await using temporary = await temporaryDirectory();
    const directory = join(temporary.path, "certs");
    await using pod = startStore(directory, "for-readers");
    expect(await modesIn(pod, directory)).toEqual(["644", "644", "644"]);
    expect(warningsOf(pod)).toBe(1);
    expect(readFileSync(join(directory, "key.pem"), "utf8")).toContain("PRIVATE KEY");
  });

  test("A4: a mode that is set is kept, also in a volume with fsGroup, and the group stays", async () => {
    await using temporary = await temporaryDirectory();
    const directory = join(temporary.path, "certs");
    mkdirSync(directory);
    chownSync(directory, -1, group);
    chmodSync(directory, 0o2777);
    await using pod = startStore(directory, 0o600);
    expect(await modesIn(pod, directory)).toEqual(["600", "644", "644"]);
    expect(statSync(join(directory, "key.pem")).gid).toBe(group);
    expect(warningsOf(pod)).toBe(0);
  });
});
