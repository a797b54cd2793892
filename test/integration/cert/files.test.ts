// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  createFileSecrets,
  createMountedIdentity,
  type FileSecretName,
  watchRevocationList,
} from "../../../src/cert/index.ts";
import { followFiles, readTexts } from "../../../src/cert/cert-files.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { formatPem } from "../../../src/lib/pki/pem.ts";
import type { Secret } from "../../../src/model/secret.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { eventually } from "../../support/eventually.ts";
import { signerOf } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, type TestAuthority, testAuthority } from "../../support/test-authority.ts";
import { testLog } from "../../support/test-log.ts";
import { testStore } from "../../support/test-store.ts";
import { testBudgets } from "../../support/budgets.ts";

const options = { budgets: testBudgets(), clock: systemClock, debounceMs: 30 };

interface Pair {
  readonly chain: string;
  readonly key: string;
}

function issue(ca: TestAuthority): Pair {
  const key = newKey();
  const keyPem = key.export({ type: "pkcs8", format: "pem" });
  return { chain: ca.issue({ publicKey: publicKeyOf(key) }, Date.now()), key: keyPem };
}

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

interface Followed extends AsyncDisposable {
  readonly secrets: readonly Secret[];
  readonly failed: () => number;
}

function follow(name: FileSecretName, bundles?: readonly string[], budgets = testBudgets()): Followed {
  const stop = new AbortController();
  const secrets: Secret[] = [];
  let failed = 0;
  const metrics = { fileSecretFailed: () => failed++ };
  const source = createFileSecrets({ ...options, budgets, log: testLog().log, metrics }, bundles);
  const end = (async () => {
    for await (const secret of source.watch(name, stop.signal)) secrets.push(secret);
  })();
  return {
    secrets,
    failed: () => failed,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await end;
    },
  };
}

function chains(followed: Followed): readonly string[] {
  return followed.secrets.map((secret) => (secret.kind === "certificate" ? secret.chainPem : secret.rootsPem));
}

async function untilChains(followed: Followed, expected: readonly string[]): Promise<void> {
  await eventually(
    () => {
      expect(chains(followed)).toEqual(expected);
    },
    { withinMs: 3_000 },
  );
}

test("texts are understood once, however often their files are looked at", async () => {
  await using directory = await temporaryDirectory();
  const paths = [join(directory.path, "a")];
  await writeFile(join(directory.path, "a"), "first");
  const stop = new AbortController();
  const clock = new FakeClock();
  const reads: string[] = [];
  const parsed: string[] = [];
  const yielded: string[] = [];
  const read = async (): Promise<readonly string[]> => {
    const texts = await readTexts(paths, testBudgets());
    reads.push(...texts);
    return texts;
  };
  const parse = ([text = ""]: readonly string[]): string => {
    parsed.push(text);
    if (text === "rubbish") throw new Error("rubbish");
    return text;
  };
  const end = (async () => {
    for await (const found of followFiles(
      { paths, read, parse },
      { clock, debounceMs: 30, budgets: testBudgets() },
      stop.signal,
    )) {
      yielded.push("value" in found ? found.value : found.error.message);
    }
  })();
  const untilRead = async (count: number): Promise<void> => {
    await eventually(
      async () => {
        await clock.advance(30_000);
        expect(reads.length).toBeGreaterThanOrEqual(count);
      },
      { withinMs: 5_000 },
    );
  };
  await untilRead(4);
  await writeFile(join(directory.path, "a"), "rubbish");
  const before = reads.length;
  await untilRead(before + 4);
  stop.abort();
  await end;
  expect(parsed).toEqual(["first", "rubbish"]);
  expect(yielded).toEqual(parsed);
});

describe("secrets in files", () => {
  test("D1, D2: exact bytes, nothing more before a change, one new pair after both were replaced", async () => {
    await using directory = await temporaryDirectory();
    const ca = testAuthority("files", Date.now());
    const [chainPath, keyPath] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
    const [first, second] = [issue(ca), issue(ca)];
    const withText = `a comment\n${first.chain}`;
    await writeFile(chainPath, withText);
    await writeFile(keyPath, first.key);
    await using followed = follow({ kind: "file-certificate", chainPath, keyPath });
    await untilChains(followed, [withText]);
    expect(followed.secrets[0]).toMatchObject({ keyPem: first.key, spiffeId: "spiffe://cluster.local/ns/demo/sa/web" });
    await replace(chainPath, second.chain);
    await replace(keyPath, second.key);
    await untilChains(followed, [withText, second.chain]);
    expect(followed.secrets[1]).toMatchObject({ keyPem: second.key });
  });

  test("a file above the limit is not used, and the previous content stays", async () => {
    await using directory = await temporaryDirectory();
    const ca = testAuthority("files", Date.now());
    const [chainPath, keyPath] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
    const [first, second] = [issue(ca), issue(ca)];
    await writeFile(chainPath, first.chain);
    await writeFile(keyPath, first.key);
    const budgets = testBudgets({ "certificate-file-bytes": 4_000 });
    await using followed = follow({ kind: "file-certificate", chainPath, keyPath }, undefined, budgets);
    await untilChains(followed, [first.chain]);
    await replace(chainPath, `${" ".repeat(4_000)}${second.chain}`);
    await replace(keyPath, second.key);
    await eventually(
      () => {
        expect(followed.failed()).toBeGreaterThan(0);
      },
      { withinMs: 2_000 },
    );
    expect(chains(followed)).toEqual([first.chain]);
  });

  test("D3: a key alone that does not fit changes nothing but is complained about", async () => {
    await using directory = await temporaryDirectory();
    const ca = testAuthority("files", Date.now());
    const [chainPath, keyPath] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
    const pair = issue(ca);
    await writeFile(chainPath, pair.chain);
    await writeFile(keyPath, pair.key);
    await using followed = follow({ kind: "file-certificate", chainPath, keyPath });
    await untilChains(followed, [pair.chain]);
    await replace(keyPath, issue(ca).key);
    await eventually(
      () => {
        expect(followed.failed()).toBe(1);
      },
      { withinMs: 2_000 },
    );
    await replace(keyPath, pair.key);
    await replace(`${chainPath}.unrelated`, "x");
    expect(chains(followed)).toEqual([pair.chain]);
  });

  test("D4: a root replaced, removed and put back", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "root.pem");
    const [a, b] = [testAuthority("a", Date.now()).rootPem, testAuthority("b", Date.now()).rootPem];
    await writeFile(path, a);
    await using followed = follow({ kind: "file-roots", path });
    await untilChains(followed, [a]);
    await replace(path, b);
    await untilChains(followed, [a, b]);
    await rm(path);
    await eventually(
      () => {
        expect(followed.failed()).toBe(1);
      },
      { withinMs: 2_000 },
    );
    await writeFile(path, a);
    await untilChains(followed, [a, b, a]);
  });

  test("D5: a missing file is waited for", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "root.pem");
    await using followed = follow({ kind: "file-roots", path });
    await eventually(
      () => {
        expect(followed.failed()).toBe(1);
      },
      { withinMs: 2_000 },
    );
    const root = testAuthority("a", Date.now()).rootPem;
    await writeFile(path, root);
    await untilChains(followed, [root]);
  });

  test("D6: unreadable parts of a bundle are skipped; a bundle with none readable is an error", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "root.pem");
    const good = ["a", "b", "c"].map((name) => testAuthority(name, Date.now()).rootPem);
    await writeFile(path, good.join("\n") + formatPem("CERTIFICATE", Buffer.from("nonsense")));
    await using followed = follow({ kind: "file-roots", path });
    await untilChains(followed, [good.join("")]);
    await writeFile(path, `${String(good[0])}-----BEGIN CERTIFICATE-----\nbroken`);
    await untilChains(followed, [good.join(""), String(good[0])]);
    await writeFile(path, "");
    await eventually(
      () => {
        expect(followed.failed()).toBeGreaterThan(0);
      },
      { withinMs: 2_000 },
    );
  });

  test("D13: the system's roots are the first bundle there is; none at all is an error", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "bundle.pem");
    const root = testAuthority("system", Date.now()).rootPem;
    await writeFile(path, root);
    await using followed = follow({ kind: "system-roots" }, [join(directory.path, "none"), path]);
    await untilChains(followed, [root]);
    expect(() =>
      createFileSecrets({ ...options, log: testLog().log, metrics: { fileSecretFailed: () => 0 } }, []).watch(
        { kind: "system-roots" },
        new AbortController().signal,
      ),
    ).toThrow("this system has no root bundle");
  });
});

describe("an identity in mounted files", () => {
  test("E4, R6: it is served, swapped, kept through rubbish, and its return is noticed", async () => {
    await using directory = await temporaryDirectory();
    const ca = testAuthority("files", Date.now());
    const other = testAuthority("other", Date.now());
    const at = (name: string): string => join(directory.path, name);
    const put = async (version: string, { chain, key }: Pair, root: string): Promise<void> => {
      await mkdir(at(version));
      await writeFile(at(`${version}/cert-chain.pem`), chain);
      await writeFile(at(`${version}/key.pem`), key);
      await writeFile(at(`${version}/root-cert.pem`), root);
      await symlink(version, at("..tmp"));
      await rename(at("..tmp"), at("..data"));
    };
    const pairs = [issue(ca), issue(ca), issue(other)] as const;
    await put("v1", pairs[0], ca.rootPem);
    for (const name of ["cert-chain.pem", "key.pem", "root-cert.pem"]) await symlink(`..data/${name}`, at(name));
    const paths = { chainPath: at("cert-chain.pem"), keyPath: at("key.pem"), rootsPath: at("root-cert.pem") };
    await using pod = testStore(createMountedIdentity(paths, options));
    const certificates = pod.collect("default");
    const bundles = pod.collect("ROOTCA");
    const served = (): readonly string[] => certificates.map((one) => (one.kind === "certificate" ? one.chainPem : ""));
    await eventually(
      () => {
        expect(served()).toEqual([pairs[0].chain]);
      },
      { withinMs: 3_000 },
    );
    expect(pod.pending()).toBeUndefined();
    await put("v2", pairs[1], ca.rootPem);
    await eventually(
      () => {
        expect(served()).toEqual([pairs[0].chain, pairs[1].chain]);
      },
      { withinMs: 3_000 },
    );
    await writeFile(at("v2/cert-chain.pem"), "rubbish");
    await eventually(
      () => {
        expect(pod.store.status().lastError).toContain("it has no certificate");
      },
      { withinMs: 3_000 },
    );
    expect(pod.store.status()).toMatchObject({ state: "valid", source: "files" });
    await rm(at("..data"));
    await eventually(
      () => {
        expect(pod.store.status().lastError).toContain("it does not exist");
      },
      { withinMs: 3_000 },
    );
    expect(served()).toHaveLength(2);
    await put("v3", pairs[2], other.rootPem);
    await eventually(
      () => {
        expect(served()).toHaveLength(3);
      },
      { withinMs: 3_000 },
    );
    await eventually(
      () => {
        expect(bundles.at(-1)).toEqual({ kind: "trust-bundle", rootsPem: other.rootPem });
      },
      { withinMs: 3_000 },
    );
    expect(pod.store.status().lastError).toBeUndefined();
  });
});

describe("a revocation list", () => {
  test("A9: an empty file is no error and no list; emptying one later takes it out of force", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca-crl.pem");
    await writeFile(path, "");
    const stop = new AbortController();
    const seen: (string | undefined)[] = [];
    const { log, records } = testLog();
    const end = (async () => {
      for await (const list of watchRevocationList(path, { ...options, log }, stop.signal)) seen.push(list);
    })();
    const one = formatPem("X509 CRL", Buffer.from("one"));
    const untilSeen = (lists: readonly (string | undefined)[]): Promise<void> =>
      eventually(
        () => {
          expect(seen).toEqual(lists);
        },
        { withinMs: 2_000 },
      );
    await untilSeen([undefined]);
    await replace(path, one);
    await untilSeen([undefined, one]);
    await replace(path, "\n");
    await untilSeen([undefined, one, undefined]);
    expect(records).toEqual([]);
    stop.abort();
    await end;
  });

  test("is read at once, after each change, and kept when the file turns to rubbish", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "ca-crl.pem");
    const stop = new AbortController();
    const seen: (string | undefined)[] = [];
    const end = (async () => {
      for await (const list of watchRevocationList(path, { ...options, log: testLog().log }, stop.signal))
        seen.push(list);
    })();
    const [one, two] = [formatPem("X509 CRL", Buffer.from("one")), formatPem("X509 CRL", Buffer.from("two"))];
    await eventually(
      () => {
        expect(seen).toEqual([undefined]);
      },
      { withinMs: 2_000 },
    );
    await writeFile(path, one);
    await eventually(
      () => {
        expect(seen).toEqual([undefined, one]);
      },
      { withinMs: 2_000 },
    );
    await replace(path, "rubbish");
    await replace(path, two);
    await eventually(
      () => {
        expect(seen).toEqual([undefined, one, two]);
      },
      { withinMs: 2_000 },
    );
    stop.abort();
    await end;
  });
});

describe("files written for others", () => {
  test("E2, E7: key, chain and roots are swapped together, the key for its owner alone, plain files replaced", async () => {
    await using directory = await temporaryDirectory();
    const output = join(directory.path, "out");
    await mkdir(output);
    await writeFile(join(output, "root-cert.pem"), "provisioned");
    const ca = testAuthority("signer", Date.now());
    const signer = signerOf(({ csrPem }) =>
      Promise.resolve({ chainPem: ca.sign(csrPem, 3_000, Date.now()), rootsPem: ca.rootPem }),
    );
    const config = { output: { directory: output, keyMode: 0o600, certificateMode: 0o644 }, ttlMs: 3_000 };
    await using pod = testStore(signer, { config });
    const text = (name: string): Promise<string> => readFile(join(output, name), "utf8");
    await eventually(
      async () => {
        expect(await text("root-cert.pem")).toBe(ca.rootPem);
      },
      { withinMs: 3_000 },
    );
    expect((await stat(join(output, "key.pem"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(output, "cert-chain.pem"))).mode & 0o777).toBe(0o644);
    const first = await text("cert-chain.pem");
    await eventually(
      async () => {
        expect(await text("cert-chain.pem")).not.toBe(first);
      },
      { withinMs: 5_000 },
    );
    const served = pod.collect("default");
    await eventually(
      async () => {
        const last = served.at(-1);
        expect(last?.kind === "certificate" ? [last.chainPem, last.keyPem] : []).toEqual([
          await text("cert-chain.pem"),
          await text("key.pem"),
        ]);
      },
      { withinMs: 2_000 },
    );
  });

  test("R18: a directory that cannot be created is reported, and retried", async () => {
    await using directory = await temporaryDirectory();
    const output = join(directory.path, "blocked", "out");
    await writeFile(join(directory.path, "blocked"), "a file where a folder should be");
    const clock = new FakeClock(Date.now());
    const ca = testAuthority("signer", clock.now());
    const signer = signerOf(({ csrPem }) =>
      Promise.resolve({ chainPem: ca.sign(csrPem, 3_600_000, clock.now()), rootsPem: ca.rootPem }),
    );
    await using pod = testStore(signer, {
      clock,
      config: { output: { directory: output, keyMode: 0o600, certificateMode: 0o644 } },
    });
    await eventually(
      () => {
        expect(pod.records.map((record) => record.message)).toContain("cannot write certificate files; retrying");
      },
      { withinMs: 3_000 },
    );
    await rm(join(directory.path, "blocked"));
    await clock.advance(31_000);
    await eventually(
      async () => {
        expect(await readFile(join(output, "root-cert.pem"), "utf8")).toBe(ca.rootPem);
      },
      { withinMs: 3_000 },
    );
  });
});
