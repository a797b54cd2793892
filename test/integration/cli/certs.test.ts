// SPDX-License-Identifier: Apache-2.0
import { mkdir, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { createSdsClient } from "../../../src/sds/sds-client.ts";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { type Pod, startPod, untilRotated } from "../../support/pod.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";
import { findSecrets, formsOfKey } from "../../support/secret-search.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority } from "../../support/test-authority.ts";

const socketOf = ({ directory }: Pod): string => join(directory, "var/run/secrets/workload-spiffe-uds/socket");

/** Every word that the commands of this file have written, to be searched for the keys of the pods. */
const written: string[] = [];

async function certs(pod: Pick<Pod, "ports">, ...args: readonly string[]): Promise<ProgramExit> {
  await using program = startProgram(["certs", "--address", String(pod.ports.status), ...args]);
  const exit = await program.exited;
  written.push(exit.stdout, exit.stderr);
  return exit;
}

async function keyOf(pod: Pod): Promise<string> {
  await using client = createSdsClient(socketOf(pod), "test", { clock: systemClock });
  const secret = await client.fetch("default", new AbortController().signal);
  return secret.kind === "certificate" ? (secret.keyPem ?? "") : "";
}

async function readyPod(ca: FakeCa, env: Readonly<Record<string, string>> = {}): Promise<Pod> {
  await using stack = new AsyncDisposableStack();
  const pod = stack.use(await startPod({ ca, env }));
  await pod.untilReady();
  const owned = stack.move();
  return { ...pod, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("certificates of a running pod", () => {
  let ca: FakeCa;
  let pod: Pod;
  beforeAll(async () => {
    ca = await startFakeCa({ intermediate: true });
    pod = await readyPod(ca);
  });
  afterAll(async () => {
    await pod[Symbol.asyncDispose]();
    await ca[Symbol.asyncDispose]();
  });

  test("chain and roots are shown, what is decided first", async () => {
    const { code, stdout } = await certs(pod);
    const [first, second] = stdout.split("\n");
    const id = "spiffe://cluster.local/ns/demo/sa/web";
    expect(first).toMatch(/^\[ok\] {3}the certificate is valid for 59 min .*, verified by the root "O=fake CA 1"$/);
    expect(second).toMatch(/^\[ok\] {3}the next renewal is due in \d+ min/);
    expect(stdout.match(/^[A-Z][A-Z ]+$/gm)).toEqual(["WORKLOAD CERTIFICATE", "ISSUER", "ROOT"]);
    const [serial = ""] = await pod.serials();
    expect(stdout).toContain(`  SPIFFE ID  ${id}\n`);
    expect(stdout).toContain(`  Serial     ${serial.toUpperCase()}\n`);
    expect(stdout.split("\n").filter((line) => line.startsWith("  ") && line.length > 80)).toEqual([]);
    expect(code).toBe(0);
  });

  test("JSON has the same for programs, and YAML the same as JSON", async () => {
    const { code, stdout } = await certs(pod, "--json");
    const document = JSON.parse(stdout) as { readonly certificates: readonly object[] };
    expect(document).toMatchObject({
      ok: true,
      certificates: [
        { role: "workload", spiffeId: "spiffe://cluster.local/ns/demo/sa/web", key: "ECDSA P-256" },
        { role: "issuer", isAuthority: true },
        { role: "root", subject: "O=fake CA 1", issuer: "O=fake CA 1" },
      ],
    });
    expect(code).toBe(0);
    const yaml = await certs(pod, "-o", "yaml");
    expect(yaml.stdout).toContain("\n  - role: workload\n    spiffeId: spiffe://cluster.local/ns/demo/sa/web\n");
  });

  test("a renewal says old and new serial, and that Envoy uses the new one", async () => {
    const before = await pod.serials();
    const { code, stdout } = await certs(pod, "--renew");
    const [, old = "", next = ""] = /serial ([0-9A-F]+) -> ([0-9A-F]+)$/m.exec(stdout) ?? [];
    expect([old.toLowerCase()]).toEqual(before);
    expect(await pod.serials()).toEqual([next.toLowerCase()]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/\[ok\] {3}Envoy uses it\n$/) as string]);
  });

  test("a renewal that the CA rejects says why, and ends with 1", async () => {
    ca.set({ kind: "refuse", status: "PERMISSION_DENIED" });
    const refused = await certs(pod, "--renew");
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringMatching(/^\[fail\] not renewed: /) as string });
    expect(refused.stdout).toContain("PERMISSION_DENIED");
    const shown = await certs(pod);
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringMatching(/^\[warn\] renewal has failed/) as string]);
    const before = await pod.serials();
    ca.recover();
    expect((await certs(pod, "--renew")).code).toBe(0);
    await untilRotated(pod, before);
  });

  test("a peer of the same mesh is verified, by its SPIFFE ID if one is expected", async () => {
    await using other = await readyPod(ca, { SERVICE_ACCOUNT: "api" });
    const address = `127.0.0.1:${String(other.ports.inbound)}`;
    const id = "spiffe://cluster.local/ns/demo/sa/api";
    const good = await certs(pod, "--verify", address, "--peer-id", id);
    expect(good.stdout).toMatch(/^\[ok\] {3}127\.0\.0\.1:\d+: verified by the root "O=fake CA 1"\n/);
    for (const line of [`  SPIFFE ID  ${id}`, "  Presented  this workload's certificate", "PEER'S CERTIFICATE"]) {
      expect(good.stdout.split("\n")).toContain(line);
    }
    const { stdout, code } = await certs(pod, "--verify", address, "--peer-id", `${id}x`, "--json");
    const reason = `the peer is ${id}, not ${id}x`;
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, problem: "wrong-id", reason, tlsVersion: "TLSv1.3" });
    expect([good.code, code]).toEqual([0, 1]);
  });

  test("a peer of another mesh is not trusted; the other way round it rejects this workload", async () => {
    await using otherCa = await startFakeCa();
    otherCa.rotateRoot({ keepOld: false });
    await using other = await readyPod(otherCa);
    await using directory = await temporaryDirectory();
    const roots = join(directory.path, "roots.pem");
    await writeFile(roots, otherCa.rootPem);
    const address = `127.0.0.1:${String(other.ports.inbound)}`;
    const untrusted = await certs(pod, "--verify", address);
    expect(untrusted.stdout).toMatch(
      /^\[fail\] .*the peer's certificate: its issuer "O=fake CA 2" is unknown: .*"O=fake CA 1"/,
    );
    const rejected = await certs(pod, "--verify", address, "--roots", roots);
    expect(rejected.stdout).toMatch(
      /^\[fail\] .*the peer rejected this workload's certificate \(alert: [a-z ]+\)\n {7}-> /,
    );
    expect([untrusted.code, rejected.code]).toEqual([1, 1]);
  });

  test("nothing that was written has any part of the key", async () => {
    expect(findSecrets(formsOfKey(await keyOf(pod)), [{ where: "output", text: written.join("\n") }])).toEqual([]);
    expect(written.join("\n")).not.toContain("PRIVATE KEY");
  });
});

test("where the SDS socket is gone, a handshake without certificate says so", async () => {
  await using ca = await startFakeCa();
  await using pod = await readyPod(ca);
  await unlink(socketOf(pod));
  const { code, stdout } = await certs(pod, "--verify", `127.0.0.1:${String(pod.ports.inbound)}`);
  expect(stdout).toMatch(/^\[fail\] .*the peer requires a client certificate, and none was presented/);
  expect(stdout).toMatch(
    /\[warn\] no client certificate was presented: there is no SDS socket \/.*\/socket on this machine/,
  );
  expect(code).toBe(1);
});

test("a pod without certificate says why it has none", async () => {
  await using ca = await startFakeCa();
  ca.set({ kind: "refuse", status: "UNAUTHENTICATED" });
  await using pod = await startPod({ ca });
  await expect
    .poll(async () => (await certs(pod)).stdout, { timeout: 10_000 })
    .toMatch(/^\[fail\] the workload has no certificate yet; the last attempt failed: .*UNAUTHENTICATED/);
  expect((await certs(pod)).code).toBe(1);
});

test("an expired certificate that is still in use is what comes first", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 3_000, backdateMs: 60_000 });
  await using pod = await readyPod(ca);
  ca.set({ kind: "refuse", status: "UNAVAILABLE" });
  await expect
    .poll(async () => (await certs(pod)).stdout, { timeout: 10_000 })
    .toMatch(/^\[fail\] the certificate expired (now|\d+ s ago) \(20/);
});

test("certificates that a provider renews are not renewed on request", async () => {
  const authority = testAuthority("provider", Date.now());
  const key = newKey();
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    env: { FILE_MOUNTED_CERTS: "true" },
    prepare: async ({ directory }) => {
      const files = {
        "cert-chain.pem": authority.issue({ publicKey: publicKeyOf(key) }, Date.now()),
        "key.pem": key.export({ type: "pkcs8", format: "pem" }),
        "root-cert.pem": authority.rootPem,
      };
      const folder = join(directory, "etc/certs");
      await mkdir(folder, { recursive: true });
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    },
    proxyConfig: {
      proxyMetadata: {
        ISTIO_META_TLS_CLIENT_CERT_CHAIN: "etc/certs/cert-chain.pem",
        ISTIO_META_TLS_CLIENT_KEY: "etc/certs/key.pem",
        ISTIO_META_TLS_CLIENT_ROOT_CERT: "etc/certs/root-cert.pem",
      },
    },
  });
  await pod.untilReady();
  const { code, stdout } = await certs(pod, "--renew");
  expect([code, stdout]).toEqual([1, expect.stringMatching(/^\[fail\] not renewed: .*provider/) as string]);
});
