// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { assignPorts, portCount } from "../../../src/dev/mesh.ts";
import {
  type DevReport,
  renderHints,
  renderJsonReport,
  renderProof,
  renderWorkloads,
} from "../../../src/dev/report.ts";

const free = Array.from({ length: portCount }, (_, index) => 2_000 + index);
const ports = assignPorts(free, { web: 1_001, api: 1_002 });

const proved: DevReport = {
  workloads: [
    {
      name: "web",
      spiffeId: "spiffe://cluster.local/ns/demo/sa/web",
      serial: "0a",
      notAfter: "2026-01-01T01:00:00Z",
      ready: true,
    },
    { name: "api", spiffeId: null, serial: null, notAfter: null, ready: false },
  ],
  proof: {
    mtlsStatus: 200,
    peerSeenByApi: "spiffe://cluster.local/ns/demo/sa/web",
    plainTextRefused: true,
    rotation: { rotations: 2, requests: 40, failed: 0, certificatesSeenByApi: 2 },
  },
  phases: { ca: 3 },
  failures: [],
};

test("every proof is shown with the facts behind it", () => {
  expect(renderProof(proved)).toEqual([
    "Proof",
    "  ✓ web reaches api over mTLS          status 200, api saw spiffe://cluster.local/ns/demo/sa/web",
    "  ✓ api rejects plain text             Envoy closed the connection without a response",
    "  ✓ certificates rotate under traffic  2 rotations, 40 requests, 0 failed",
  ]);
});

test("a failed proof is shown with its reason, and a proof that did not run is not shown", () => {
  const proof = { mtlsStatus: null, peerSeenByApi: null, plainTextRefused: null, rotation: null };
  const failures = [{ proof: "ready", why: "web waits for its certificate" } as const];
  expect(renderProof({ ...proved, proof, failures })).toEqual([
    "Proof",
    "  ✗ both workloads become ready",
    "      web waits for its certificate",
  ]);
});

test("the table has a dash for what Envoy does not have", () => {
  const [head, web, api] = renderWorkloads(proved, ports);
  expect(head).toMatch(/WORKLOAD +SPIFFE ID +SERIAL +EXPIRES +APP +ENVOY +ADMIN +AGENT$/);
  expect(web).toMatch(/ web +spiffe:\/\/\S+ +0a +2026-01-01T01:00:00Z +1001 +2000 +2001 +2002$/);
  expect(api).toMatch(/ api +- +- +- +1002 +2005 +2006 +2007$/);
});

test("the hints name addresses and files of this run", () => {
  const facts = { resourcesDirectory: "/examples/dev", workDirectory: "/tmp/x" };
  const text = renderHints(ports, { ...facts, enterWeb: undefined }).join("\n");
  expect(text).toContain("curl http://127.0.0.1:1001/");
  expect(text).toContain("/examples/dev/web/rds.yaml");
  expect(text).toContain("/tmp/x/web/agent.log");
  expect(text).not.toContain("http://api/");
  const captured = renderHints(ports, { ...facts, enterWeb: "nsenter --target 7" }).join("\n");
  expect(captured).toContain("nsenter --target 7 curl http://api/");
});

test("the JSON report is one line with one object", () => {
  const text = renderJsonReport(proved);
  expect(text.trimEnd().split("\n")).toHaveLength(1);
  expect(JSON.parse(text)).toEqual(proved);
});
