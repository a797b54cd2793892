// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { MeshPorts } from "./mesh.ts";
import { type DevReport, type ProofName, proofNames } from "./report.ts";
import { renderTable } from "./table.ts";

/** What each proof is, in words. */
const proofTitles: Readonly<Record<ProofName, string>> = {
  ready: "both workloads become ready",
  mtls: "web reaches api over mTLS",
  "plain-text": "api refuses plain text",
  rotation: "certificates rotate under traffic",
};

/** The facts behind each proof, and what failed. Lines without an end. */
export function renderProof({ proof, failures }: DevReport): readonly string[] {
  const facts: Readonly<Record<ProofName, string | undefined>> = {
    ready: undefined,
    mtls:
      proof.mtlsStatus === null
        ? undefined
        : `status ${String(proof.mtlsStatus)}, api saw ${proof.peerSeenByApi ?? "no caller"}`,
    "plain-text": proof.plainTextRefused === true ? "Envoy closed the connection without an answer" : undefined,
    rotation:
      proof.rotation === null
        ? undefined
        : `${String(proof.rotation.rotations)} rotations, ${String(proof.rotation.requests)} requests, ${String(proof.rotation.failed)} failed`,
  };
  const proved = proofNames
    .filter((name) => failures.every(({ proof: failed }) => failed !== name))
    .flatMap((name) => (facts[name] === undefined ? [] : [[`  ✓ ${proofTitles[name]}`, facts[name]]]));
  const failed = failures.flatMap(({ proof: name, why, details }) => [
    `  ✗ ${proofTitles[name]}`,
    ...(details ?? [why]).map((reason) => `      ${reason}`),
  ]);
  return ["Proof", ...renderTable(proved), ...failed];
}

/** Who runs where, with which certificate. */
export function renderWorkloads(report: DevReport, ports: MeshPorts): readonly string[] {
  const head = ["  WORKLOAD", "SPIFFE ID", "SERIAL", "EXPIRES", "APP", "ENVOY", "ADMIN", "AGENT"];
  const rows = report.workloads.map(({ name, spiffeId, serial, notAfter }) => {
    const { app, envoy, admin, status } = ports[name];
    return [`  ${name}`, spiffeId ?? "-", serial ?? "-", notAfter ?? "-", ...[app, envoy, admin, status].map(String)];
  });
  return renderTable([head, ...rows]);
}

/** What a person may do now. */
export function renderHints(ports: MeshPorts, resourcesDirectory: string, workDirectory: string): readonly string[] {
  const url = (port: number, path: string): string => `curl http://127.0.0.1:${String(port)}${path}`;
  return [
    "Try",
    ...renderTable([
      [`  ${url(ports.web.app, "/")}`, "web asks api, through both Envoys"],
      [`  ${url(ports.api.envoy, "/")}`, "api without a certificate: refused"],
      [`  ${url(ports.web.admin, "/certs")}`, "the certificate that web's Envoy uses"],
      [`  ${url(ports.api.status, "/healthz/ready")}`, "readiness of api, from its agent"],
      [`  edit ${join(resourcesDirectory, "web/rds.yaml")}`, "a route weight or a fault: in use once it is saved"],
      [`  tail -f ${join(workDirectory, "web/agent.log")}`, "what web's agent and Envoy say"],
    ]),
    "",
    "Ctrl-C ends all of it.",
  ];
}
