// SPDX-License-Identifier: Apache-2.0
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { formatSpan } from "../../lib/relative-time.ts";
import type { CertificateDetails } from "./certificate-details.ts";
import type { PeerReport } from "./verify-peer.ts";
import type { CertsReport, Finding, ReportedCertificate } from "./report.ts";

const styles = { ok: "good", warn: "warning", fail: "bad" } as const;
const order: readonly Finding["outcome"][] = ["fail", "warn", "ok"];

/** What is wrong first, then each certificate. */
export function renderReport({ findings, certificates }: CertsReport, paint: Paint): string {
  const blocks = certificates.map((one) => renderCertificate(titleOf(one), one, paint));
  return [renderFindings(findings, paint), ...blocks].join("\n");
}

export function renderFindings(findings: readonly Finding[], paint: Paint): string {
  const sorted = order.flatMap((outcome) => findings.filter((one) => one.outcome === outcome));
  return sorted.map((one) => renderFinding(one, paint)).join("");
}

function renderFinding({ outcome, fact, advice }: Finding, paint: Paint): string {
  const mark = paint(styles[outcome], `[${outcome}]`);
  const next = advice === "" ? "" : `       -> ${escapeControls(advice)}\n`;
  return `${mark}${" ".repeat(6 - outcome.length - 2)} ${escapeControls(fact)}\n${next}`;
}

function titleOf({ role, trustDomain }: ReportedCertificate): string {
  switch (role) {
    case "workload":
      return "WORKLOAD CERTIFICATE";
    case "issuer":
      return "ISSUER";
    case "root":
      return trustDomain === undefined ? "ROOT" : `ROOT OF ${trustDomain}`;
    case "certificate":
      return "CERTIFICATE";
  }
}

function renderCertificate(title: string, details: CertificateDetails, paint: Paint): string {
  const { spiffeId, subject, issuer, notBefore, notAfter, secondsLeft, names, key, isAuthority, serial, sha256 } =
    details;
  const span = formatSpan(secondsLeft * 1_000);
  const left = secondsLeft > 0 ? `${span} left` : paint("bad", `expired ${span} ago`);
  const others = names.filter((name) => name !== `URI:${spiffeId ?? ""}`);
  const rows = [
    ["SPIFFE ID", spiffeId ?? (isAuthority ? "" : "-")],
    ["Subject", subject === "" ? "-" : subject],
    ["Issuer", issuer === subject && subject !== "" ? "itself" : issuer],
    ["Valid", `${notBefore} to ${notAfter}`],
    ["", left],
    ...others.map((name, index) => [index === 0 ? "Names" : "", name]),
    ["Key", isAuthority ? `${key}, may sign certificates` : key],
    ["Serial", serial],
    ["SHA-256", sha256],
  ];
  const lines = rows
    .filter(([name, text]) => text !== "" || name === "")
    .map(([name = "", text = ""]) => `  ${name.padEnd(10)} ${text}`);
  return `${paint("strong", escapeControls(title))}\n${lines.join("\n")}\n`;
}

/** Who the peer is, after whether it is the right one. */
export function renderPeer(report: PeerReport, notes: readonly Finding[], paint: Paint): string {
  const { ok, address, reason, advice, spiffeId, tlsVersion, cipher, alpn, clientCertificate, tookMs, chain } = report;
  const verdict = renderFinding({ outcome: ok ? "ok" : "fail", fact: `${address}: ${reason}`, advice }, paint);
  const findings = verdict + renderFindings(notes, paint);
  if (tlsVersion === undefined && chain.length === 0) return findings;
  const rows = [
    ["SPIFFE ID", spiffeId ?? "-"],
    ["TLS", [tlsVersion, cipher].filter((text) => text !== undefined).join(", ")],
    ["ALPN", alpn ?? "-"],
    ["Presented", clientCertificate === "presented" ? "this workload's certificate" : "no certificate"],
    ["Took", `${String(tookMs)} ms`],
  ];
  const peer = rows.map(([name = "", text = ""]) => `  ${name.padEnd(10)} ${escapeControls(text)}`).join("\n");
  const blocks = chain.map((one, index) =>
    renderCertificate(index === 0 ? "PEER'S CERTIFICATE" : "ISSUER", one, paint),
  );
  return [findings, `${paint("strong", "PEER")}\n${peer}\n`, ...blocks].join("\n");
}
