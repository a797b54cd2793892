// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { type FakeCa, startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { createOpensslPki } from "../support/openssl-pki.ts";
import { type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { clusterResource } from "../support/xds-resources.ts";

const names = ["cert-chain.pem", "key.pem", "root-cert.pem"];

/** A control plane over TLS, that demands a client certificate under the CA's root or takes whoever comes. */
async function startTlsControlPlane(directory: string, ca: FakeCa, demandsCertificate: boolean) {
  const pki = await createOpensslPki(directory);
  const server = await pki.issue("spiffe://cluster.local/ns/istio-system/sa/istiod,IP:127.0.0.1");
  const key = { cert_chain: Buffer.from(server.chainPem), private_key: Buffer.from(server.keyPem) };
  const clientRoot = demandsCertificate ? Buffer.from(ca.rootPem) : null;
  const controlPlane = await startFakeControlPlane(ServerCredentials.createSsl(clientRoot, [key], demandsCertificate));
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("a", "1")]);
  const rootPath = join(directory, "control-plane-root.pem");
  writeFileSync(rootPath, pki.rootPem);
  const options = (env: Readonly<Record<string, string>>, metadata: Readonly<Record<string, string>> = {}) => ({
    ca,
    env: { ATTACHE_XDS_FILES: "", XDS_ROOT_CA: rootPath, ...env },
    proxyConfig: { discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`, proxyMetadata: metadata },
  });
  return { controlPlane, options };
}

test("7.1.11, 7.1.12: a machine's first run goes by token, the next by the certificate that the first one kept", async () => {
  await using directory = await temporaryDirectory();
  await using ca = await startFakeCa({ token: "a-token", clientRootPem: "own" });
  const certificates = join(directory.path, "certs");
  mkdirSync(certificates);
  writeFileSync(join(certificates, "root-cert.pem"), ca.serverRootPem);
  const kept = (): readonly string[] => names.map((name) => readFileSync(join(certificates, name), "utf8"));
  {
    const { controlPlane, options } = await startTlsControlPlane(directory.path, ca, false);
    await using _controlPlane = controlPlane;
    await using pod = await startPod(options({ PROV_CERT: certificates, OUTPUT_CERTS: certificates }));
    await pod.untilReady();
    expect(controlPlane.requests[0]?.metadata.get("authorization")).toBe("Bearer a-token");
    await eventually(() => expect(kept()).toHaveLength(3), { withinMs: 2_000 });
  }
  const before = kept();
  const { controlPlane, options } = await startTlsControlPlane(directory.path, ca, true);
  await using _controlPlane = controlPlane;
  await using pod = await startPod({ ...options({ PROV_CERT: certificates }), token: "" });
  await pod.untilReady();
  expect(controlPlane.requests[0]?.metadata.has("authorization")).toBe(false);
  await eventually(() => expect(ca.calls.at(-1)?.clientCertificate).toBe(true), { withinMs: 5_000 });
  expect(kept()).toEqual(before);
});

test("7.1.13: certificates kept where they are read from rotate there, and in Envoy", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 6_000 });
  const env = { PROV_CERT: "./etc/certs", OUTPUT_CERTS: "./etc/certs", XDS_ROOT_CA: "SYSTEM" };
  const prepare: NonNullable<PodOptions["prepare"]> = ({ directory }) => {
    mkdirSync(join(directory, "etc/certs"), { recursive: true });
    writeFileSync(join(directory, "etc/certs/root-cert.pem"), ca.serverRootPem);
  };
  await using pod = await startPod({ ca, env, prepare });
  await pod.untilReady();
  const kept = (): string => readFileSync(join(pod.directory, "etc/certs/cert-chain.pem"), "utf8");
  const first = kept();
  await eventually(
    async () => {
      expect(kept()).not.toBe(first);
      const inFile = new X509Certificate(kept()).serialNumber.toLowerCase();
      expect((await pod.serials()).map((serial) => serial.toLowerCase())).toEqual([inFile]);
    },
    { withinMs: 10_000 },
  );
});

test("7.1.14: with certificates in files, the control plane is met by mTLS, and no CA is asked", async () => {
  await using directory = await temporaryDirectory();
  await using ca = await startFakeCa();
  const pki = await createOpensslPki(directory.path);
  const own = await pki.issue("spiffe://cluster.local/ns/demo/sa/web");
  const path = (name: string): string => join(directory.path, name);
  writeFileSync(path("chain.pem"), own.chainPem);
  writeFileSync(path("client-key.pem"), own.keyPem);
  writeFileSync(path("client-root.pem"), pki.rootPem);
  mkdirSync(path("control-plane"));
  const trusting = { rootPem: pki.rootPem, ca };
  const { controlPlane, options } = await startTlsControlPlane(path("control-plane"), { ...ca, ...trusting }, true);
  await using _controlPlane = controlPlane;
  const metadata = {
    ISTIO_META_TLS_CLIENT_CERT_CHAIN: path("chain.pem"),
    ISTIO_META_TLS_CLIENT_KEY: path("client-key.pem"),
    ISTIO_META_TLS_CLIENT_ROOT_CERT: path("client-root.pem"),
  };
  const mounted: Omit<PodOptions, "token"> = options({ FILE_MOUNTED_CERTS: "true" }, metadata);
  await using pod = await startPod({ ...mounted, token: "" });
  await pod.untilReady();
  expect(controlPlane.requests.length).toBeGreaterThan(0);
  expect(ca.calls).toEqual([]);
});

test("7.1.17: two agents on one host, with ports of their own, both get ready", async () => {
  await using ca = await startFakeCa();
  await using first = await startPod({ ca });
  await using second = await startPod({ ca });
  await Promise.all([first.untilReady(), second.untilReady()]);
  expect(first.ports.status).not.toBe(second.ports.status);
});
