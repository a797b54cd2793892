// SPDX-License-Identifier: Apache-2.0
import { chmod, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CertConfig } from "../../../src/cert/index.ts";
import { eventually } from "../../support/eventually.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { signerOf } from "../../support/signing.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";

const ca = testAuthority("cached", Date.now());
const up = signerOf(({ csrPem }) =>
  Promise.resolve({ chainPem: ca.sign(csrPem, 3_600_000, Date.now()), rootsPem: ca.rootPem }),
);
const down = signerOf(() => Promise.reject(new Error("the CA is down")));

/** Runs once with the CA, so that the folder has an identity. */
async function fill(
  directory: string,
  config: Partial<CertConfig> = {},
): Promise<{ readonly serial: string | undefined; readonly file: string }> {
  await using pod = testStore(up, { config: { cacheDirectory: directory, ...config } });
  const file = await eventually(
    async () => {
      const [name] = (await readdir(directory)).filter((one) => one.endsWith(".json"));
      if (name === undefined) throw new Error("nothing yet");
      return join(directory, name);
    },
    { withinMs: 3_000 },
  );
  return { serial: pod.store.status().serial, file };
}

describe("the identity over a restart", () => {
  test("is served by an agent that starts while the CA is down, and is ready", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    const { serial, file } = await fill(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await using pod = testStore(down, { config: { cacheDirectory: path } });
    const [certificates, bundles] = [pod.collect("default"), pod.collect("ROOTCA")];
    await eventually(
      () => {
        expect(certificates.length + bundles.length).toBe(2);
      },
      { withinMs: 2_000 },
    );
    expect(pod.store.status()).toMatchObject({ state: "valid", serial, attempts: 0 });
    expect(pod.pending()).toBeUndefined();
  });

  test("mesh trust anchors are not cached: one withdrawn before the restart is not trusted after it", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    const anchor = testAuthority("anchor", Date.now()).rootPem;
    {
      await using pod = testStore(up, { config: { cacheDirectory: path } });
      await pod.store.setMeshAnchors([anchor]);
      await eventually(
        async () => {
          expect((await readdir(path)).filter((name) => name.endsWith(".json"))).toHaveLength(1);
        },
        { withinMs: 3_000 },
      );
    }
    await using pod = testStore(down, { config: { cacheDirectory: path } });
    const bundles = pod.collect("ROOTCA");
    await eventually(
      () => {
        expect(bundles).toHaveLength(1);
      },
      { withinMs: 2_000 },
    );
    expect(bundles[0]).toEqual({ kind: "trust-bundle", rootsPem: ca.rootPem });
  });

  test("is renewed when it was due, not at each start", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    await fill(path);
    await using pod = testStore(up, { config: { cacheDirectory: path } });
    await eventually(
      () => {
        expect(pod.store.status().state).toBe("valid");
      },
      { withinMs: 2_000 },
    );
    expect(pod.outcomes).toEqual([]);
    expect((pod.store.status().rotationDueMs ?? Number.NaN) - Date.now()).toBeLessThanOrEqual(1_800_000);
  });

  test.each<[string, (file: string) => Promise<void>]>([
    ["others can read it", (file) => chmod(file, 0o640)],
    [
      "it is a link to another place",
      async (file) => {
        await rename(file, `${file}.elsewhere`);
        await symlink(`${file}.elsewhere`, file);
      },
    ],
    [
      "it holds the identity of another workload",
      async (file) => {
        const api = { trustDomain: "cluster.local", namespace: "demo", serviceAccount: "api" };
        await using other = await temporaryDirectory();
        const { file: foreign } = await fill(join(other.path, "cache"), { identity: api });
        await writeFile(file, await readFile(foreign, "utf8"));
      },
    ],
    ["it was cut off", async (file) => writeFile(file, (await readFile(file, "utf8")).slice(0, 400))],
    [
      "its key was swapped",
      async (file) => {
        const { chainPem, ...rest } = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
        const other = JSON.parse(await readFile(`${file}.other`, "utf8").catch(() => "{}")) as Record<string, unknown>;
        await writeFile(
          file,
          JSON.stringify({ ...rest, chainPem: other["chainPem"] ?? ca.rootPem }) + (chainPem === undefined ? " " : ""),
        );
      },
    ],
    [
      "it holds the bare key",
      async (file) => {
        const { keyPem } = JSON.parse(await readFile(file, "utf8")) as { keyPem: string };
        await writeFile(file, keyPem.split("\n")[1]?.slice(20) ?? "");
      },
    ],
    [
      "it has no key",
      async (file) =>
        writeFile(file, JSON.stringify({ spiffeId: "x", acceptedMs: 0, chainPem: "", keyPem: "", rootsPem: "" })),
    ],
  ])("is not used when %s, and the log does not show its key", async (_name, spoil) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    const { file } = await fill(path);
    const keyLine = (JSON.parse(await readFile(file, "utf8")) as { keyPem: string }).keyPem.split("\n")[1] ?? "none";
    await spoil(file);
    await using pod = testStore(down, { config: { cacheDirectory: path } });
    await eventually(
      () => {
        expect(pod.outcomes.length).toBe(1);
      },
      { withinMs: 2_000 },
    );
    expect(pod.store.status().state).toBe("none");
    expect(pod.records.map((record) => record.message)).toContain("cached identity not usable; requesting a new one");
    expect(JSON.stringify(pod.records)).not.toContain(keyLine.slice(20, 28));
  });

  test("is ignored when it is another workload's", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    await fill(path);
    const identity = { trustDomain: "cluster.local", namespace: "demo", serviceAccount: "api" };
    await using pod = testStore(down, { config: { cacheDirectory: path, identity } });
    await eventually(
      () => {
        expect(pod.outcomes.length).toBe(1);
      },
      { withinMs: 2_000 },
    );
    expect(pod.store.status().state).toBe("none");
  });

  test("is not used when another kind of key is configured now", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "cache");
    await fill(path);
    await using pod = testStore(down, { config: { cacheDirectory: path, key: { kind: "ec", curve: "P-384" } } });
    await eventually(
      () => {
        expect(pod.outcomes.length).toBe(1);
      },
      { withinMs: 2_000 },
    );
    expect(pod.store.status().state).toBe("none");
  });
});
