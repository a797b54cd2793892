// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { issueCertificate } from "../../../../src/ca/embedded/certificates.ts";
import {
  issuerOf,
  leadsTo,
  nameOf,
  parseCertificates,
  validityText,
} from "../../../../src/diagnosis/doctor/certificates.ts";
import { caPeers, controlPlanePeers, peerKey } from "../../../../src/diagnosis/doctor/network/peers.ts";
import { needsResolver, parseResolvConf } from "../../../../src/diagnosis/doctor/network/resolvers.ts";
import { describeToken } from "../../../../src/diagnosis/doctor/token-file.ts";
import { judgeConfig } from "../../../../src/config/index.ts";
import { testInput } from "../../../support/parity-case.ts";
import { newKey, publicKeyOf, testAuthority } from "../../../support/test-authority.ts";

/** Certificates have whole seconds. */
const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
const root = testAuthority("root", nowMs);

function intermediateOf(authority: typeof root, name: string) {
  const issuer = { name, privateKey: newKey() };
  const facts = { subject: name, publicKey: publicKeyOf(issuer.privateKey), use: "authority" } as const;
  const pem = issueCertificate(authority.issuer, {
    ...facts,
    notBeforeMs: nowMs - 1_000,
    notAfterMs: nowMs + 9_000_000,
  });
  return { issuer, pem };
}

test("a chain leads to a root by way of its intermediates, by names and signatures", () => {
  const between = intermediateOf(root, "between");
  const facts = {
    publicKey: publicKeyOf(newKey()),
    use: "workload",
    uris: ["spiffe://a/b"],
    subject: undefined,
  } as const;
  const leafPem = issueCertificate(between.issuer, {
    ...facts,
    notBeforeMs: nowMs - 1_000,
    notAfterMs: nowMs + 60_000,
  });
  const [leaf, intermediate, anchor] = [leafPem, between.pem, root.rootPem].map((pem) => new X509Certificate(pem));
  if (leaf === undefined || intermediate === undefined || anchor === undefined) throw new Error("three certificates");
  expect(leadsTo([leaf, intermediate], [anchor])).toBe(true);
  expect(leadsTo([leaf], [anchor])).toBe(false);
  expect(leadsTo([leaf], [leaf])).toBe(true);
  expect(leadsTo([], [anchor])).toBe(false);
  const impostor = new X509Certificate(testAuthority("root", nowMs).rootPem);
  expect(leadsTo([leaf, intermediate], [impostor])).toBe(false);
  expect([nameOf(leaf), issuerOf(leaf), nameOf(anchor)]).toEqual(['"URI:spiffe://a/b"', '"O=between"', '"O=root"']);
  expect(validityText(leaf, nowMs - 61_000)).toBe("begins in 1 min");
  expect(validityText(leaf, nowMs + 120_000)).toBe("expired 1 min ago");
});

test("certificates are read from PEM, and what is wrong with it is said", () => {
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  expect(parseCertificates(root.rootPem)).toMatchObject({ certificates: { length: 1 }, problem: undefined });
  expect(parseCertificates(`${root.rootPem}${broken}`)).toMatchObject({
    certificates: { length: 1 },
    problem: "PEM block 2 is not a certificate that can be parsed",
  });
  expect(parseCertificates("")).toEqual({ certificates: [], problem: undefined });
});

test("a token is described without its text", () => {
  const claims = { subject: "system:serviceaccount:a:b", audiences: ["istio-ca"], expiresMs: nowMs + 60_000 };
  const times = { notBeforeMs: undefined, issuedMs: undefined, issuer: undefined };
  expect(describeToken({ kind: "jwt", claims: { ...claims, ...times } }, nowMs)).toBe(
    "for the audience istio-ca, of system:serviceaccount:a:b, expires in 1 min",
  );
  const none = { subject: undefined, audiences: [], expiresMs: nowMs - 60_000, ...times };
  expect(describeToken({ kind: "jwt", claims: none }, nowMs)).toBe("for no audience, expired 1 min ago");
  expect(describeToken({ kind: "opaque" }, nowMs)).toBe("opaque, not a JWT");
  expect(describeToken({ kind: "absent" }, nowMs)).toBe("");
});

test("resolv.conf has at most three resolvers, and its last search line counts", () => {
  const text =
    "# x\nsearch a\nnameserver 1.1.1.1\nnameserver 1.1.1.1\n nameserver\t::1\nsearch b c\nnameserver 2.2.2.2\nnameserver 3.3.3.3";
  expect(parseResolvConf(text)).toEqual({ servers: ["1.1.1.1", "::1", "2.2.2.2"], searchDomains: ["b", "c"] });
  expect(["", "localhost", "a.localhost", "10.0.0.1", "::1", "istiod.istio-system.svc"].map(needsResolver)).toEqual([
    ...[false, false, false, false, false, true],
  ]);
});

test("peers are what the configuration connects to; a proxy stands before the control plane", () => {
  const env = { CA_ROOT_CA: "SYSTEM", XDS_ROOT_CA: "SYSTEM", POD_NAMESPACE: "demo" };
  const { config } = judgeConfig(testInput({ env }));
  const [ca, controlPlane] = [caPeers(config)[0]?.peer, controlPlanePeers(config)[0]];
  expect(ca?.address).toEqual({ host: "istiod.istio-system.svc", port: 15_012 });
  expect(ca && peerKey(ca)).toBe(controlPlane && peerKey(controlPlane));
  const proxied = judgeConfig(testInput({ env: { ...env, HTTPS_PROXY: "http://proxy:3128" } })).config;
  expect(controlPlanePeers(proxied)).toMatchObject([{ role: "HTTP proxy", address: { host: "proxy", port: 3_128 } }]);
  const files = judgeConfig(
    testInput({ env: { ...env, ATTACHE_XDS_FILES: "/x", ATTACHE_IDENTITY: "embedded" } }),
  ).config;
  expect([caPeers(files), controlPlanePeers(files)]).toEqual([[], []]);
});
