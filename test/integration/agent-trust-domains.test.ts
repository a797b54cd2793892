// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { issueCertificate } from "../../src/ca/embedded/certificates.ts";
import { ProxyConfig } from "../../src/gen/istio/mesh/v1alpha1/proxy.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { startFakeWorkloadApi } from "../fakes/fake-workload-api.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/free-ports.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, type TestAuthority } from "../support/test-authority.ts";
import { knock, listenerOverAds, pairFor, writeListeners } from "../support/tls-listeners.ts";

const [ownId, otherId] = ["spiffe://a.example/ns/demo/sa/web", "spiffe://b.example/ns/demo/sa/web"];
const own = testAuthority("own root", Date.now());
const other = testAuthority("other root", Date.now());
const otherRootPem = rootNaming(other, "spiffe://b.example");

/** A root that names its trust domain, as SPIFFE wants it. */
function rootNaming({ issuer }: TestAuthority, uri: string): string {
  const publicKey = publicKeyOf(issuer.privateKey);
  const times = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 10 * 24 * 3_600_000 };
  return issueCertificate(issuer, { subject: issuer.name, publicKey, use: "authority", uris: [uri], ...times });
}

/** A pod whose two listeners verify with `ROOTCA`: alone, and combined with a context of the listener. */
async function startTwoListeners(env: Readonly<Record<string, string>>, prepare: PodOptions["prepare"]) {
  const [plain = 0, combined = 0] = await freePorts(2);
  const pod = await startPod({
    ca: { port: 1, serverRootPem: own.rootPem },
    env: { TRUST_DOMAIN: "a.example", ...env },
    async prepare(given) {
      const prefixes = ["spiffe://a.example/", "spiffe://b.example/"];
      writeListeners(given.directory, [
        { name: "plain", port: plain, roots: "ROOTCA" },
        { name: "combined", port: combined, roots: "ROOTCA", prefixes },
      ]);
      await prepare?.(given);
    },
  });
  return { pod, ports: { plain, combined } };
}

/** Which certificates each listener lets in. */
async function whoIsLetIn(ports: { readonly plain: number; readonly combined: number }) {
  const seen: Record<string, string> = {};
  for (const [listener, port] of Object.entries(ports)) {
    for (const [root, authority] of Object.entries({ own, other })) {
      for (const [identity, spiffeId] of Object.entries({ own: ownId, other: otherId })) {
        const outcome = await knock(port, pairFor(authority, spiffeId));
        seen[`${listener}: ${identity} identity, ${root} root`] = outcome;
      }
    }
  }
  return seen;
}

function everyListener(seen: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(seen);
  return Object.fromEntries(
    ["plain", "combined"].flatMap((listener) => entries.map(([who, what]) => [`${listener}: ${who}`, what])),
  );
}

const apart = everyListener({
  "own identity, own root": "let in",
  "other identity, own root": "rejected",
  "own identity, other root": "rejected",
  "other identity, other root": "let in",
});
const ownRootAlone = everyListener({
  "own identity, own root": "let in",
  // As always with one trust domain: whoever holds the root may name anyone.
  "other identity, own root": "let in",
  "own identity, other root": "rejected",
  "other identity, other root": "rejected",
});

/** Mounts the pod's identity and its root as files. */
function mountIdentity(directory: string): void {
  const files = join(directory, "etc/certs");
  mkdirSync(files, { recursive: true });
  const { chainPem, keyPem } = pairFor(own, ownId);
  writeFileSync(join(files, "cert-chain.pem"), chainPem);
  writeFileSync(join(files, "key.pem"), keyPem);
  writeFileSync(join(files, "root-cert.pem"), own.rootPem);
}

async function untilLetIn(pod: Pod, ports: { readonly plain: number; readonly combined: number }, expected: object) {
  await pod.untilReady();
  await eventually(
    async () => {
      expect(await whoIsLetIn(ports)).toEqual(expected);
    },
    { withinMs: 6_000 },
  );
}

describe("A1: each trust domain is verified by its own roots only", () => {
  test("bundles of the Workload API, as they come and go", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "agent.sock");
    await using agent = await startFakeWorkloadApi(path);
    const svid = { spiffeId: ownId, ...pairFor(own, ownId), bundlePem: own.rootPem };
    const env = {
      ATTACHE_IDENTITY: "spiffe",
      SPIFFE_ENDPOINT_SOCKET: `unix://${path}`,
      ATTACHE_SPIFFE_FEDERATES_WITH: "b.example",
    };
    agent.give([svid], { "spiffe://b.example": other.rootPem });
    const { pod, ports } = await startTwoListeners(env, undefined);
    await using _pod = pod;
    await untilLetIn(pod, ports, apart);
    agent.give([svid], {});
    await untilLetIn(pod, ports, ownRootAlone);
    agent.give([svid], { "spiffe://b.example": other.rootPem });
    await untilLetIn(pod, ports, apart);
  });

  test("caCertificates with trust domains, as the mesh file changes", async () => {
    const meshFile = (pods: string, pem: string): void => {
      mkdirSync(join(pods, "etc/istio/config"), { recursive: true });
      const caCertificates = [{ pem, trustDomains: ["b.example"] }];
      writeFileSync(join(pods, "etc/istio/config/mesh"), JSON.stringify({ caCertificates }));
    };
    const { pod, ports } = await startTwoListeners({ ATTACHE_IDENTITY: "files" }, ({ directory }) => {
      mountIdentity(directory);
      meshFile(directory, testAuthority("earlier root", Date.now()).rootPem);
    });
    await using _pod = pod;
    await pod.untilReady();
    expect(await knock(ports.plain, pairFor(other, otherId))).toBe("rejected");
    meshFile(pod.directory, other.rootPem);
    await untilLetIn(pod, ports, apart);
  });

  test("caCertificates with a SPIFFE bundle endpoint, which comes back and is verified with the system's roots", async () => {
    const serverKey = newKey();
    const server = createServer(
      {
        key: serverKey.export({ type: "pkcs8", format: "pem" }),
        cert: other.issue(
          { publicKey: publicKeyOf(serverKey), use: "server", uris: [], dnsNames: ["localhost"] },
          Date.now(),
        ),
      },
      (request, response) => {
        expect(request.headers).not.toHaveProperty("authorization");
        const x5c = [other.rootPem.replaceAll(/-----[A-Z ]+-----|\s/g, "")];
        response.end(JSON.stringify({ keys: [{ kty: "EC", use: "x509-svid", x5c }] }));
      },
    );
    const [port = 0] = await freePorts(1);
    const { pod, ports } = await startTwoListeners(
      { ATTACHE_IDENTITY: "files", SSL_CERT_FILE: "./system-roots.pem" },
      ({ directory }) => {
        mountIdentity(directory);
        writeFileSync(join(directory, "system-roots.pem"), other.rootPem);
        mkdirSync(join(directory, "etc/istio/config"), { recursive: true });
        const spiffeBundleUrl = `https://localhost:${String(port)}/bundle`;
        const caCertificates = [{ spiffeBundleUrl, trustDomains: ["b.example"] }];
        writeFileSync(join(directory, "etc/istio/config/mesh"), JSON.stringify({ caCertificates }));
      },
    );
    await using _pod = pod;
    await pod.untilReady();
    const lines = (text: string): number => pod.log().split(text).length - 1;
    await eventually(() => expect(lines("SPIFFE bundle cannot be read")).toBe(1), { withinMs: 5_000 });
    expect(await knock(ports.plain, pairFor(other, otherId))).toBe("rejected");
    server.listen(port, "127.0.0.1");
    await using _server = { [Symbol.asyncDispose]: () => new Promise<void>((done) => void server.close(() => done())) };
    await untilLetIn(pod, ports, apart);
    expect([lines("SPIFFE bundle cannot be read"), lines("SPIFFE bundle read again")]).toEqual([1, 1]);
  });

  test("trust anchors of the control plane that name their trust domain", async () => {
    const [plain = 0, combined = 0] = await freePorts(2);
    await using controlPlane = await startFakeControlPlane();
    const prefixes = ["spiffe://a.example/", "spiffe://b.example/"];
    controlPlane.set(typeUrls.cluster, []);
    controlPlane.set(typeUrls.listener, [
      listenerOverAds({ name: "plain", port: plain, roots: "ROOTCA" }),
      listenerOverAds({ name: "combined", port: combined, roots: "ROOTCA", prefixes }),
    ]);
    const value = ProxyConfig.encode(ProxyConfig.fromPartial({ caCertificatesPem: [otherRootPem] })).finish();
    controlPlane.set(typeUrls.proxyConfig, [{ name: "", version: "1", value }]);
    await using pod = await startPod({
      ca: { port: 1, serverRootPem: own.rootPem },
      proxyConfig: { discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`, controlPlaneAuthPolicy: "NONE" },
      env: {
        ATTACHE_IDENTITY: "files",
        ATTACHE_XDS_FILES: "",
        PROXY_CONFIG_XDS_AGENT: "true",
        TRUST_DOMAIN: "a.example",
      },
      prepare: ({ directory }) => {
        mountIdentity(directory);
      },
    });
    await untilLetIn(pod, { plain, combined }, apart);
  });
});
