// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { contentOf, SdsClient } from "../fakes/sds-client.ts";
import { requestHttp, loopback } from "../../src/lib/net/http-client.ts";
import { eventually } from "../support/eventually.ts";
import { startPod, untilRotated } from "../support/pod.ts";

const before = "URI:spiffe://cluster.local/ns/demo/sa/web";
const after = "URI:spiffe://new.example/ns/demo/sa/web";

function linesOf(log: string): number {
  return log.split("\n").filter((line) => line.includes("issued the certificate in another trust domain")).length;
}

test("A2: a mesh changes its trust domain under a running pod; Envoy, files and status follow, as does a new start", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 4_000 });
  await using pod = await startPod({ ca, env: { OUTPUT_CERTS: "out" } });
  await pod.untilReady();
  const first = await pod.serials();
  const written = (): string | undefined =>
    new X509Certificate(readFileSync(join(pod.directory, "out/cert-chain.pem"))).subjectAltName;
  await eventually(
    () => {
      expect(written()).toBe(before);
    },
    { withinMs: 5_000 },
  );
  ca.trustDomain = "new.example";
  await untilRotated(pod, first);
  await eventually(
    () => {
      expect(written()).toBe(after);
    },
    { withinMs: 10_000 },
  );
  using client = new SdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"));
  const served = contentOf((await client.fetch(["default"])).resources[0]);
  expect(new X509Certificate(served).subjectAltName).toBe(after);
  const status = (await requestHttp({ url: loopback(pod.ports.status, "/debug/certificates") })).text();
  expect(status).toContain("spiffe://new.example/ns/demo/sa/web");
  const scrape = (await requestHttp({ url: loopback(pod.ports.status, "/stats/prometheus") })).text();
  expect(scrape).toMatch(/^attache_cert_trust_domain_changes_total 1$/m);
  expect(linesOf(pod.log())).toBe(1);
  expect((await pod.readiness()).status).toBe(200);

  await using restarted = await startPod({ ca });
  await restarted.untilReady();
  expect(linesOf(restarted.log())).toBe(1);
}, 40_000);

test("A2: with ATTACHE_STRICT_TRUST_DOMAIN the pod names what is wrong and what to set", async () => {
  await using ca = await startFakeCa();
  ca.trustDomain = "new.example";
  await using pod = await startPod({ ca, env: { ATTACHE_STRICT_TRUST_DOMAIN: "true" } });
  await eventually(
    () => {
      expect(pod.log()).toContain("set TRUST_DOMAIN to that of the mesh, or ATTACHE_STRICT_TRUST_DOMAIN=false");
    },
    { withinMs: 10_000 },
  );
  expect((await pod.readiness()).status).toBe(503);
});

test("A2: an empty TRUST_DOMAIN works as with the reference", async () => {
  await using ca = await startFakeCa();
  ca.trustDomain = "mesh.example";
  await using pod = await startPod({ ca, env: { TRUST_DOMAIN: "" } });
  await pod.untilReady();
  expect(ca.calls.length).toBe(1);
});
