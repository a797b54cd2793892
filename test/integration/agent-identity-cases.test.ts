// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, X509Certificate } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { renderPrivateKey } from "../../src/cert/csr.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { contentOf, SdsClient } from "../fakes/sds-client.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod, untilRotated } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, type TestAuthority } from "../support/test-authority.ts";

function pairOf(authority: TestAuthority): { readonly chainPem: string; readonly keyPem: string } {
  const key = newKey();
  return {
    chainPem: authority.issue({ publicKey: publicKeyOf(key) }, Date.now()),
    keyPem: renderPrivateKey(key, true),
  };
}

function writePair(directory: string, { chainPem, keyPem }: ReturnType<typeof pairOf>, rootPem: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "cert-chain.pem"), chainPem);
  writeFileSync(join(directory, "key.pem"), keyPem);
  writeFileSync(join(directory, "root-cert.pem"), rootPem);
}

/** The files of a folder as they are, links followed. */
function contentsOf(directory: string): Readonly<Record<string, string>> {
  const names = readdirSync(directory).filter((name) => name.endsWith(".pem"));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
}

/** TLS of a control plane on loopback; with `clients` it demands a certificate under their root. */
function controlPlaneTls(authority: TestAuthority, clients?: TestAuthority): ServerCredentials {
  const key = newKey();
  const certificate = authority.issue({ publicKey: publicKeyOf(key), use: "server", ips: ["127.0.0.1"] }, Date.now());
  const pair = { cert_chain: Buffer.from(certificate), private_key: Buffer.from(renderPrivateKey(key, true)) };
  const clientRoot = clients === undefined ? null : Buffer.from(clients.rootPem);
  return ServerCredentials.createSsl(clientRoot, [pair], clientRoot !== null);
}

async function startControlPlane(credentials?: ServerCredentials): Promise<FakeControlPlane> {
  const controlPlane = await startFakeControlPlane(credentials);
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, []);
  return controlPlane;
}

/** What both secrets of the workload hold. */
async function readSecrets(pod: Pod): Promise<{ readonly chainPem: string; readonly rootsPem: string }> {
  using client = new SdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"));
  const [leaf, roots] = await Promise.all([client.fetch(["default"]), client.fetch(["ROOTCA"])]);
  return { chainPem: contentOf(leaf.resources[0]), rootsPem: contentOf(roots.resources[0]) };
}

/** The kind of key in the certificate that Envoy shows to whoever connects. */
function keyTypeSeenByPeer(pod: Pod): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: pod.ports.inbound, rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe("the settings of a pod in Kubernetes", () => {
  test.each([
    ["ECDSA", "ec"],
    ["", "rsa"],
  ])("E1: with the key algorithm %j, XDS and both secrets work", async (algorithm, keyType) => {
    await using ca = await startFakeCa({ token: "a-token" });
    await using controlPlane = await startControlPlane();
    const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
    await using pod = await startPod({
      ca,
      proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
      env: { ATTACHE_XDS_FILES: "", ECC_SIGNATURE_ALGORITHM: algorithm },
    });
    await pod.untilReady();
    const { chainPem, rootsPem } = await readSecrets(pod);
    const leaf = new X509Certificate(chainPem);
    expect(leaf.publicKey.asymmetricKeyType).toBe(keyType);
    expect(leaf.verify(new X509Certificate(rootsPem).publicKey)).toBe(true);
    expect(controlPlane.requests[0]?.metadata.get("authorization")).toBe("Bearer a-token");
  });

  test.each([
    ["ECDSA", "ec"],
    ["", "rsa"],
  ])("E13: with the key algorithm %j, that is the key its peers see", async (algorithm, keyType) => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, env: { ECC_SIGNATURE_ALGORITHM: algorithm } });
    await pod.untilReady();
    expect(await keyTypeSeenByPeer(pod)).toBe(keyType);
  });
});

/** As often as the pace of tries allows. */
const alwaysDue = { SECRET_GRACE_PERIOD_RATIO: "1", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };

/** Waits until chain and key were replaced twice, and always belonged together. */
async function untilReplacedTwice(directory: string): Promise<void> {
  const seen = new Map<string, string>();
  await eventually(
    () => {
      const { "cert-chain.pem": chain = "", "key.pem": key = "" } = contentsOf(directory);
      if (new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))) seen.set(chain, key);
      expect(seen.size).toBe(3);
    },
    { withinMs: 12_000 },
  );
  expect(new Set(seen.values()).size).toBe(3);
}

test.each([
  ["with Envoy", {}],
  ["without anybody who asks for secrets", { DISABLE_ENVOY: "true" }],
])("E2: %s, the three files are written and keep changing", async (_title, env) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { OUTPUT_CERTS: "./out", ...alwaysDue, ...env } });
  await untilReplacedTwice(join(pod.directory, "out"));
  expect(contentsOf(join(pod.directory, "out"))["root-cert.pem"]).toBe(ca.rootPem);
});

test.each([
  ["./etc/certs", "etc/certs", ["cert-chain.pem", "key.pem", "root-cert.pem"], {}],
  [
    "GKE's files",
    "var/run/secrets/workload-spiffe-credentials",
    ["certificates.pem", "private_key.pem", "ca_certificates.pem"],
    { CA_PROVIDER: "GkeWorkloadCertificate" },
  ],
  [
    "the credentials' files",
    "var/run/secrets/workload-spiffe-credentials",
    ["cert-chain.pem", "key.pem", "root-cert.pem"],
    {},
  ],
] as const)("E4: with %s no CA is asked", async (_title, folder, [chain, key, roots], env) => {
  const authority = testAuthority("mounted", Date.now());
  const pair = pairOf(authority);
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => {
      mkdirSync(join(directory, folder), { recursive: true });
      writeFileSync(join(directory, folder, chain), pair.chainPem);
      writeFileSync(join(directory, folder, key), pair.keyPem);
      writeFileSync(join(directory, folder, roots), authority.rootPem);
    },
    env,
  });
  await pod.untilReady();
  expect(await readSecrets(pod)).toEqual({ chainPem: pair.chainPem, rootsPem: authority.rootPem });
  expect(ca.calls).toEqual([]);
});

test("E3: with mounted files no CA is asked, and XDS is spoken over mutual TLS, whatever the token", async () => {
  const authority = testAuthority("mounted", Date.now());
  const pair = pairOf(authority);
  await using ca = await startFakeCa();
  await using controlPlane = await startControlPlane(controlPlaneTls(authority, authority));
  await using pod = await startPod({
    ca,
    token: "bogus",
    prepare: ({ directory }) => {
      writePair(join(directory, "mounted"), pair, authority.rootPem);
    },
    proxyConfig: {
      discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`,
      proxyMetadata: {
        ISTIO_META_TLS_CLIENT_CERT_CHAIN: "./mounted/cert-chain.pem",
        ISTIO_META_TLS_CLIENT_KEY: "./mounted/key.pem",
        ISTIO_META_TLS_CLIENT_ROOT_CERT: "./mounted/root-cert.pem",
      },
    },
    env: { ATTACHE_XDS_FILES: "", FILE_MOUNTED_CERTS: "true" },
  });
  await pod.untilReady();
  expect((await readSecrets(pod)).chainPem).toBe(pair.chainPem);
  expect(controlPlane.requests.length).toBeGreaterThan(0);
  expect(ca.calls).toEqual([]);
});

describe("a machine", () => {
  const machine: Partial<PodOptions> = { env: { PROV_CERT: "./etc/certs", OUTPUT_CERTS: "./etc/certs" } };
  const deadToken = `${["{}", '{"exp":1}'].map((text) => Buffer.from(text).toString("base64url")).join(".")}.x`;
  const written = ["cert-chain.pem", "key.pem", "root-cert.pem"];

  test("E6: shows its token at the first start, and its certificate after a restart with a dead token", async () => {
    await using kept = await temporaryDirectory();
    const certificates = join(kept.path, "certs");
    await using ca = await startFakeCa({ token: "a-token", clientRootPem: "own" });
    mkdirSync(certificates);
    writeFileSync(join(certificates, "root-cert.pem"), ca.serverRootPem);
    const run = async (token: string, callsBefore: number): Promise<void> => {
      await using pod = await startPod({
        ...machine,
        ca,
        token,
        prepare: ({ directory }) => {
          cpSync(certificates, join(directory, "etc/certs"), { recursive: true });
        },
      });
      await pod.untilReady();
      await eventually(
        () => {
          expect(Object.keys(contentsOf(join(pod.directory, "etc/certs"))).sort()).toEqual(written);
        },
        { withinMs: 3_000 },
      );
      // It is ready with the certificate that it kept, before the CA has issued the next one.
      await eventually(
        () => {
          expect(ca.calls.length).toBeGreaterThan(callsBefore);
        },
        { withinMs: 5_000 },
      );
      for (const [name, text] of Object.entries(contentsOf(join(pod.directory, "etc/certs"))))
        writeFileSync(join(certificates, name), text);
    };
    await run("a-token", 0);
    expect(ca.calls[0]).toMatchObject({ clientCertificate: false, metadata: { authorization: "Bearer a-token" } });
    const before = ca.calls.length;
    await run(deadToken, before);
    for (const call of ca.calls.slice(before)) {
      expect(call.clientCertificate).toBe(true);
      expect(call.metadata["authorization"]).toBeUndefined();
    }
  });

  test("E7: that writes its certificates where it reads them renews them, and does not take them for its source", async () => {
    await using ca = await startFakeCa({ clientRootPem: "own" });
    await using pod = await startPod({
      ca,
      prepare: ({ directory }) => {
        mkdirSync(join(directory, "etc/certs"), { recursive: true });
        writeFileSync(join(directory, "etc/certs/root-cert.pem"), ca.serverRootPem);
      },
      env: { ...machine.env, ...alwaysDue },
    });
    await pod.untilReady();
    await untilReplacedTwice(join(pod.directory, "etc/certs"));
    expect(ca.calls.length).toBeGreaterThanOrEqual(3);
    expect(ca.calls.at(-1)?.clientCertificate).toBe(true);
  });

  test("E8: with certificates that live long and no output, its files are left as they are", async () => {
    const authority = testAuthority("machines", Date.now());
    const pair = pairOf(authority);
    await using ca = await startFakeCa({ token: "none", clientRootPem: authority.rootPem, lifetimeMs: 60_000 });
    await using pod = await startPod({
      ca,
      token: "",
      prepare: ({ directory }) => {
        writePair(join(directory, "provisioned"), pair, ca.serverRootPem);
      },
      env: {
        PROV_CERT: "./provisioned",
        SECRET_GRACE_PERIOD_RATIO: "0.96",
        SECRET_GRACE_PERIOD_RATIO_JITTER: "0",
      },
    });
    const folder = join(pod.directory, "provisioned");
    const changedMs = (): readonly number[] => written.map((name) => statSync(join(folder, name)).ctimeMs);
    const before = changedMs();
    await pod.untilReady();
    const first = await pod.serials();
    await untilRotated(pod, first);
    expect(readdirSync(folder).sort()).toEqual(written);
    expect(changedMs()).toEqual(before);
    expect(contentsOf(folder)["cert-chain.pem"]).toBe(pair.chainPem);
    for (const call of ca.calls) expect(call.clientCertificate).toBe(true);
  });
});

test("E9: a wrong root for XDS is replaced by the right one, and XDS recovers without a restart", async () => {
  const authority = testAuthority("control plane", Date.now());
  await using ca = await startFakeCa();
  await using controlPlane = await startControlPlane(controlPlaneTls(authority));
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "xds-root.pem"), testAuthority("wrong", Date.now()).rootPem);
    },
    proxyConfig: { discoveryAddress: `127.0.0.1:${String(controlPlane.port)}` },
    env: { ATTACHE_XDS_FILES: "", XDS_ROOT_CA: "./xds-root.pem" },
  });
  await eventually(
    () => {
      const address = `127.0.0.1:${String(controlPlane.port)}`;
      expect(pod.log().split("\n")).toContainEqual(
        expect.stringMatching(`warn.*${address}.*leads to no root in \\./xds-root\\.pem`),
      );
    },
    { withinMs: 10_000 },
  );
  expect((await pod.readiness()).status).toBe(503);
  expect(controlPlane.requests).toEqual([]);
  writeFileSync(join(pod.directory, "xds-root.pem"), authority.rootPem);
  await pod.untilReady();
});
