// SPDX-License-Identifier: Apache-2.0
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CertConfig } from "../../../src/cert/types.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { Secret } from "../../../src/model/secret.ts";
import { eventually } from "../../support/eventually.ts";
import { signerOf } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testAuthority, type TestAuthority } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";

const [old, fresh, other] = ["old", "fresh", "other"].map((name) => testAuthority(name, Date.now())) as [
  TestAuthority,
  TestAuthority,
  TestAuthority,
];

/** A ConfigMap as the kubelet mounts it: all files change together, by a link. */
function mountRoots(directory: string) {
  let versions = 0;
  const path = join(directory, "root-cert.pem");
  const mount = async (...roots: readonly TestAuthority[]): Promise<void> => {
    const version = `..${String(++versions)}`;
    await mkdir(join(directory, version));
    await writeFile(join(directory, version, "root-cert.pem"), roots.map(({ rootPem }) => rootPem).join(""));
    await symlink(version, join(directory, "..draft"));
    await rename(join(directory, "..draft"), join(directory, "..data"));
    if (versions === 1) await symlink("..data/root-cert.pem", path);
    else await rm(join(directory, `..${String(versions - 1)}`), { recursive: true });
  };
  return { path, mount };
}

interface SetUp {
  readonly config?: Partial<CertConfig>;
  readonly isOfMesh?: boolean;
  readonly mounted?: readonly TestAuthority[];
}

/** A store with a certificate by `old`, whose CA can be replaced. */
async function setUp({ config = {}, isOfMesh = false, mounted = [old] }: SetUp = {}) {
  const stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const roots = mountRoots(directory);
  await roots.mount(...mounted);
  const ca = { current: old, calls: 0 };
  const signer = signerOf(({ csrPem }) => {
    ca.calls++;
    const { current } = ca;
    return Promise.resolve({ chainPem: current.sign(csrPem, 3_600_000, Date.now()), rootsPem: current.rootPem });
  });
  const rootFiles = [{ path: roots.path, isOfMesh, debounceMs: 30 }];
  const pod = stack.use(testStore(signer, { config: { rootFiles, rootSpreadMs: 100, ...config } }));
  const bundles = pod.collect("ROOTCA");
  await eventually(
    () => {
      expect(pod.store.status().state).toBe("valid");
    },
    { withinMs: 3_000 },
  );
  // What follows the certificate: the file is read.
  await systemClock.delay(300, new AbortController().signal);
  return { ca, pod, bundles, ...roots, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function rootsIn(bundles: readonly Secret[]): string {
  const last = bundles.at(-1);
  return last?.kind === "trust-bundle" ? last.rootsPem : "";
}

function pemOf(...authorities: readonly TestAuthority[]): string {
  return authorities
    .map(({ rootPem }) => rootPem)
    .sort()
    .join("");
}

async function untilTrusted(bundles: readonly Secret[], expected: string): Promise<void> {
  await eventually(
    () => {
      expect(rootsIn(bundles)).toBe(expected);
    },
    { withinMs: 2_000 },
  );
}

async function untilCalls(ca: { readonly calls: number }, calls: number): Promise<void> {
  await eventually(
    () => {
      expect(ca.calls).toBe(calls);
    },
    { withinMs: 4_000 },
  );
}

describe("A3: a mounted root file that changes", () => {
  test("the new root is trusted within 2 s, the old one stays, and a renewal follows", async () => {
    await using it = await setUp();
    it.ca.current = fresh;
    await it.mount(fresh);
    await untilTrusted(it.bundles, pemOf(old, fresh));
    await untilCalls(it.ca, 2);
    expect(rootsIn(it.bundles)).toBe(pemOf(old, fresh));
    expect(it.pod.records.map(({ message }) => message)).toContain("mounted roots changed");
  });

  test("the renewal has a random delay: the fleet sees the change at once", async () => {
    await using it = await setUp({ config: { rootSpreadMs: 600_000 } });
    const beforeMs = Date.now();
    await it.mount(old, fresh);
    await untilTrusted(it.bundles, pemOf(old, fresh));
    await eventually(
      () => {
        const inMs = (it.pod.store.status().rotationDueMs ?? 0) - beforeMs;
        // the test's random number is a half
        expect(inMs).toBeGreaterThan(299_000);
        expect(inMs).toBeLessThan(302_000);
      },
      { withinMs: 1_000 },
    );
    expect(it.ca.calls).toBe(1);
  });

  test("a CA that has not followed yet is asked again", async () => {
    await using it = await setUp();
    await it.mount(fresh);
    await untilCalls(it.ca, 2);
    await eventually(
      () => {
        const inMs = (it.pod.store.status().rotationDueMs ?? 0) - Date.now();
        expect(inMs).toBeGreaterThan(50_000);
        expect(inMs).toBeLessThan(61_000);
      },
      { withinMs: 1_000 },
    );
  });

  test("roots beside those of the mesh are not trusted for workloads, but a renewal asks the CA", async () => {
    await using it = await setUp({ mounted: [old, other] });
    await it.mount(old, other, fresh);
    await untilCalls(it.ca, 2);
    expect(rootsIn(it.bundles)).toBe(old.rootPem);
  });

  test("a file without any root of the mesh changes nothing", async () => {
    await using it = await setUp({ mounted: [other] });
    await it.mount(other, fresh);
    await systemClock.delay(500, new AbortController().signal);
    expect(rootsIn(it.bundles)).toBe(old.rootPem);
    expect(it.ca.calls).toBe(1);
  });

  test("istiod's ConfigMap with a second root makes it trusted from the start", async () => {
    await using it = await setUp({ mounted: [old, fresh], isOfMesh: true });
    await untilTrusted(it.bundles, pemOf(old, fresh));
    expect(it.ca.calls).toBe(1);
  });

  test("rubbish is reported and changes nothing", async () => {
    await using it = await setUp();
    await it.mount();
    await eventually(
      () => {
        expect(it.pod.records.map(({ message }) => message)).toContain(
          "mounted roots not usable; keeping the previous ones",
        );
      },
      { withinMs: 2_000 },
    );
    expect(rootsIn(it.bundles)).toBe(old.rootPem);
  });
});

test("A3: a renewal on request is made at once", async () => {
  await using it = await setUp();
  expect(it.pod.store.renew()).toBeUndefined();
  await untilCalls(it.ca, 2);
});

test("A3: anchors of the mesh that no longer have the CA's root start a renewal", async () => {
  await using it = await setUp();
  await it.pod.store.setMeshAnchors([old.rootPem, fresh.rootPem]);
  await systemClock.delay(400, new AbortController().signal);
  expect(it.ca.calls).toBe(1);
  it.ca.current = fresh;
  await it.pod.store.setMeshAnchors([fresh.rootPem]);
  await untilCalls(it.ca, 2);
  expect(rootsIn(it.bundles)).toBe(pemOf(old, fresh));
});
