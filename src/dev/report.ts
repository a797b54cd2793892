// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { MeshPorts, WorkloadName } from "./mesh.ts";

/** What a run of `attache dev` observed. This is also the shape of `--json`. */
export interface DevReport {
  readonly workloads: readonly WorkloadReport[];
  readonly proof: ProofReport;
  /** Milliseconds from the start of the command to the end of each step, in order. */
  readonly phases: Readonly<Record<string, number>>;
  /** Empty when everything was proved. */
  readonly failures: readonly ProofFailure[];
}

export interface WorkloadReport {
  readonly name: WorkloadName;
  /** From the certificate that Envoy uses; null while it has none. So are serial (hexadecimal) and notAfter (RFC 3339). */
  readonly spiffeId: string | null;
  readonly serial: string | null;
  readonly notAfter: string | null;
  /** Whether the readiness probe through Envoy succeeds. */
  readonly ready: boolean;
}

/** Null: not observed, because an earlier step failed. */
export interface ProofReport {
  /** Status of a request web -> api. */
  readonly mtlsStatus: number | null;
  /** The caller's SPIFFE ID as api's application received it. */
  readonly peerSeenByApi: string | null;
  readonly plainTextRefused: boolean | null;
  readonly rotation: RotationReport | null;
  /** Only with captured traffic. */
  readonly capture?: CaptureReport;
}

/** A request of a program in web's namespace to `http://api/`. Null: not observed. */
export interface CaptureReport {
  /** The address that the program was connected to. No machine has it. */
  readonly connectedTo: string | null;
  readonly status: number | null;
  /** The caller's SPIFFE ID as api's application received it. */
  readonly peerSeenByApi: string | null;
}

export interface RotationReport {
  /** Changes of the serial in `/certs` of the two Envoys, seen while requests passed. */
  readonly rotations: number;
  readonly requests: number;
  readonly failed: number;
  /** Different certificates of web that api received with these requests. */
  readonly certificatesSeenByApi: number;
}

/** In the order in which they run. */
export const proofNames = ["ready", "mtls", "capture", "plain-text", "rotation"] as const;
export type ProofName = (typeof proofNames)[number];

export interface ProofFailure {
  readonly proof: ProofName;
  /** One line: what was observed instead. */
  readonly why: string;
  /** The single reasons, where there is more than one. */
  readonly details?: readonly string[];
}

/** The result of one proof: the facts, and the failure if they do not prove it. */
export interface ProofOutcome<Facts> {
  readonly facts: Facts;
  readonly failure: ProofFailure | undefined;
}

export function renderJsonReport(report: DevReport): string {
  return `${JSON.stringify(report)}\n`;
}

/** What each proof shows. */
const proofTitles: Readonly<Record<ProofName, string>> = {
  ready: "both workloads become ready",
  mtls: "web reaches api over mTLS",
  capture: "http://api/ is captured",
  "plain-text": "api rejects plain text",
  rotation: "certificates rotate under traffic",
};

/** The facts of each proof, and the failures; one string a line. */
export function renderProof({ proof, failures }: DevReport): readonly string[] {
  const facts: Readonly<Record<ProofName, string | undefined>> = {
    ready: undefined,
    mtls:
      proof.mtlsStatus === null
        ? undefined
        : `status ${String(proof.mtlsStatus)}, api saw ${proof.peerSeenByApi ?? "no caller"}`,
    capture:
      proof.capture === undefined
        ? undefined
        : `connected to ${proof.capture.connectedTo ?? "-"}, api saw ${proof.capture.peerSeenByApi ?? "no caller"}`,
    "plain-text": proof.plainTextRefused === true ? "Envoy closed the connection without a response" : undefined,
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

/** The certificate and the ports of each workload. */
export function renderWorkloads(report: DevReport, ports: MeshPorts): readonly string[] {
  const head = ["  WORKLOAD", "SPIFFE ID", "SERIAL", "EXPIRES", "APP", "ENVOY", "ADMIN", "AGENT"];
  const rows = report.workloads.map(({ name, spiffeId, serial, notAfter }) => {
    const { app, envoy, admin, status } = ports[name];
    return [`  ${name}`, spiffeId ?? "-", serial ?? "-", notAfter ?? "-", ...[app, envoy, admin, status].map(String)];
  });
  return renderTable([head, ...rows]);
}

export interface HintFacts {
  readonly resourcesDirectory: string;
  readonly workDirectory: string;
  /** The command that runs another in web's namespace; undefined: there is none. */
  readonly enterWeb: string | undefined;
}

/** What the user can try now. */
export function renderHints(
  ports: MeshPorts,
  { resourcesDirectory, workDirectory, enterWeb }: HintFacts,
): readonly string[] {
  const url = (port: number, path: string): string => `curl http://127.0.0.1:${String(port)}${path}`;
  return [
    "Try",
    ...renderTable([
      ...(enterWeb === undefined
        ? []
        : [[`  ${enterWeb} curl http://api/`, "any program of web's namespace: captured, through both Envoys"]]),
      [`  ${url(ports.web.app, "/")}`, "web calls api through both Envoys"],
      [`  ${url(ports.api.envoy, "/")}`, "api without a certificate: rejected"],
      [`  ${url(ports.web.admin, "/certs")}`, "the certificate that web's Envoy uses"],
      [`  ${url(ports.api.status, "/healthz/ready")}`, "readiness of api, from its agent"],
      [`  edit ${join(resourcesDirectory, "web/rds.yaml")}`, "change a route weight or a fault; applied on save"],
      [`  tail -f ${join(workDirectory, "web/agent.log")}`, "the log of web's agent and Envoy"],
      [
        `  attache status --address ${String(ports.web.status)}`,
        "configuration, certificate and peers of web; see docs/diagnosis.md",
      ],
    ]),
    "",
    "Press Ctrl-C to stop the mesh.",
  ];
}

/** Columns as wide as their widest cell, two spaces apart, without trailing spaces. */
function renderTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
