// SPDX-License-Identifier: Apache-2.0
import type { ChainChecks, ReadCertificate } from "../../cert/index.ts";
import { formatDue, formatMoment, formatSpan } from "../../lib/relative-time.ts";
import { type CertificateDetails, describeCertificate, formatName } from "./certificate-details.ts";
import { type DomainAnchors, judgeChain } from "./chain-verdict.ts";
import { type EnvoySerials, normalSerial } from "./envoy-serials.ts";
import type { RenewalState, WorkloadIdentity } from "./workload-identity.ts";

/** One sentence of a report, and what to do about it. */
export interface Finding {
  readonly outcome: "ok" | "warn" | "fail";
  readonly fact: string;
  /** Empty where there is nothing to do. */
  readonly advice: string;
}

export interface ReportedCertificate extends CertificateDetails {
  readonly role: "workload" | "issuer" | "root" | "certificate";
  /** Of a root: whose peers it verifies; undefined: every peer. */
  readonly trustDomain: string | undefined;
}

/** Certificates with what is wrong with them. */
export interface CertsReport {
  /** The file that they are from; undefined for those of the running workload. */
  readonly file: string | undefined;
  readonly findings: readonly Finding[];
  readonly certificates: readonly ReportedCertificate[];
  /** ISO 8601; undefined where the agent does not renew. */
  readonly nextRenewal: string | undefined;
}

const rootWarningMs = 30 * 86_400_000;
/** The agent renews at half of the lifetime; below this share it is late. */
const lateShare = 0.1;

interface ReadIdentity {
  readonly chain: readonly ReadCertificate[];
  readonly anchors: readonly DomainAnchors[];
  /** Undefined where they are not known. */
  readonly envoy: EnvoySerials | undefined;
}

/** The identity of a running workload. */
export function reportWorkload(
  identity: WorkloadIdentity,
  { chain, anchors, envoy }: ReadIdentity,
  checks: ChainChecks,
  nowMs: number,
): CertsReport {
  const [leaf] = chain;
  const details = chain.map((one) => describeCertificate(one, nowMs));
  const spiffeId = details[0]?.spiffeId;
  const verdict = judgeChain({ chain, anchors, spiffeId, nowMs, purpose: "workload" }, checks);
  const { renewal } = identity;
  const own: Finding[] = [];
  if (leaf === undefined) own.push(noCertificate(renewal));
  else if (!verdict.isTrusted) {
    const advice =
      verdict.problem === "expired"
        ? "'attache certs --renew' says why there is no newer one"
        : "compare the roots of the CA with those mounted";
    own.push(finding("fail", verdict.reason, advice));
  } else {
    const root = JSON.stringify(formatName(verdict.root.x509.subject));
    const left = formatSpan(leaf.notAfterMs - nowMs);
    own.push(finding("ok", `the certificate is valid for ${left}, verified by the root ${root}`));
    own.push(...lateFindings(leaf, renewal, nowMs), ...envoyFindings(leaf, spiffeId, envoy));
  }
  return {
    file: undefined,
    findings: [...own, ...renewalFindings(leaf, renewal, nowMs), ...rootFindings(anchors, nowMs)],
    certificates: [
      ...details.map((one, index) => ({ role: roleAt(index), trustDomain: undefined, ...one })),
      ...anchors.flatMap(({ trustDomain, roots }) =>
        roots.map((root) => ({ role: "root" as const, trustDomain, ...describeCertificate(root, nowMs) })),
      ),
    ],
    nextRenewal: renewal?.rotationDueMs === undefined ? undefined : new Date(renewal.rotationDueMs).toISOString(),
  };
}

function roleAt(index: number): "workload" | "issuer" {
  return index === 0 ? "workload" : "issuer";
}

function finding(outcome: Finding["outcome"], fact: string, advice = ""): Finding {
  return { outcome, fact, advice };
}

function noCertificate(renewal: RenewalState | undefined): Finding {
  if (renewal === undefined)
    return finding("fail", "the workload has no certificate: another process serves it, and is silent");
  const why =
    renewal.lastError === "" ? "the first request is under way" : `the last attempt failed: ${renewal.lastError}`;
  return finding("fail", `the workload has no certificate yet; ${why}`, "'attache status' names the cause");
}

function lateFindings(leaf: ReadCertificate, renewal: RenewalState | undefined, nowMs: number): readonly Finding[] {
  const share = (leaf.notAfterMs - nowMs) / Math.max(1, leaf.notAfterMs - leaf.notBeforeMs);
  if (share > lateShare || renewal === undefined) return [];
  return [
    finding("warn", "the certificate is about to expire, and was not renewed in time", "'attache certs --renew'"),
  ];
}

/** Whether Envoy has another certificate of this identity: an older one, when it rejected the present one. */
function envoyFindings(
  leaf: ReadCertificate,
  spiffeId: string | undefined,
  envoy: EnvoySerials | undefined,
): readonly Finding[] {
  if (envoy === undefined || envoy.has(normalSerial(leaf.x509.serialNumber))) return [];
  const other = [...envoy].find(([, uri]) => uri === spiffeId)?.[0];
  if (other === undefined) return [];
  const fact = `Envoy does not use it, but the certificate with serial ${other.toUpperCase()}`;
  return [finding("warn", fact, "the agent's log says whether Envoy rejected the newer one")];
}

function renewalFindings(
  leaf: ReadCertificate | undefined,
  renewal: RenewalState | undefined,
  nowMs: number,
): readonly Finding[] {
  if (renewal === undefined || leaf === undefined) return [];
  if (renewal.failuresInARow > 0) {
    const times = renewal.failuresInARow === 1 ? "once" : `${String(renewal.failuresInARow)} times in a row`;
    const next = renewal.rotationDueMs === undefined ? "" : `; next attempt ${formatDue(renewal.rotationDueMs, nowMs)}`;
    return [finding("warn", `renewal has failed ${times}${next}: ${renewal.lastError}`)];
  }
  if (renewal.rotationDueMs === undefined) return [];
  return [finding("ok", `the next renewal is due ${formatDue(renewal.rotationDueMs, nowMs)}`)];
}

function rootFindings(anchors: readonly DomainAnchors[], nowMs: number): readonly Finding[] {
  return anchors.flatMap(({ trustDomain, roots }) =>
    roots.flatMap((root) => {
      if (root.notAfterMs - nowMs > rootWarningMs) return [];
      const domain = trustDomain === undefined ? "" : ` of ${trustDomain}`;
      const verb = root.notAfterMs <= nowMs ? "expired" : "expires";
      const text = `the root ${JSON.stringify(formatName(root.x509.subject))}${domain} ${verb} ${formatMoment(root.notAfterMs, nowMs)}`;
      return [finding("warn", text, "introduce its successor before peers reject what it has signed")];
    }),
  );
}

export interface FileContent {
  readonly file: string;
  readonly certificates: readonly ReadCertificate[];
  /** Of its text. */
  readonly problems: readonly string[];
  /** With which it is verified; undefined when none were given: those in the file itself. */
  readonly anchors: readonly DomainAnchors[] | undefined;
}

/** The certificates of a file, leaf first if it has a chain. */
export function reportFile(
  { file, certificates, problems, anchors }: FileContent,
  checks: ChainChecks,
  nowMs: number,
): CertsReport {
  const details = certificates.map((one) => describeCertificate(one, nowMs));
  const [leaf] = details;
  const findings = problems.map((problem) =>
    finding(certificates.length === 0 ? "fail" : "warn", `${file}: ${problem}`),
  );
  if (leaf !== undefined) {
    const roots = anchors ?? [
      { trustDomain: undefined, roots: certificates.filter((one) => checks.isSelfSigned(one.x509)) },
    ];
    const isBundle = leaf.isAuthority;
    const hasRoots = roots.some((one) => one.roots.length > 0);
    if (isBundle || !hasRoots) findings.push(...validityFindings(file, certificates, isBundle, nowMs));
    else
      findings.push(
        chainFinding(file, { chain: certificates, anchors: roots, spiffeId: leaf.spiffeId }, checks, nowMs),
      );
  }
  return {
    file,
    findings,
    certificates: details.map((one) => ({ role: "certificate", trustDomain: undefined, ...one })),
    nextRenewal: undefined,
  };
}

function chainFinding(
  file: string,
  input: {
    readonly chain: readonly ReadCertificate[];
    readonly anchors: readonly DomainAnchors[];
    readonly spiffeId: string | undefined;
  },
  checks: ChainChecks,
  nowMs: number,
): Finding {
  const verdict = judgeChain({ ...input, nowMs, purpose: "server" }, checks);
  if (!verdict.isTrusted) return finding("fail", `${file}: ${verdict.reason}`);
  const root = JSON.stringify(formatName(verdict.root.x509.subject));
  return finding("ok", `${file}: verified by the root ${root}`);
}

/** Without roots, only time can be judged. */
function validityFindings(
  file: string,
  certificates: readonly ReadCertificate[],
  isBundle: boolean,
  nowMs: number,
): readonly Finding[] {
  const wrong = certificates.flatMap(({ x509, notBeforeMs, notAfterMs }) => {
    const name = JSON.stringify(formatName(x509.subject));
    if (notAfterMs <= nowMs) return [finding("fail", `${file}: ${name} expired ${formatMoment(notAfterMs, nowMs)}`)];
    if (notBeforeMs > nowMs)
      return [finding("fail", `${file}: ${name} is valid only ${formatMoment(notBeforeMs, nowMs)}`)];
    return [];
  });
  if (wrong.length > 0) return wrong;
  const count = certificates.length === 1 ? "the certificate is" : `${String(certificates.length)} certificates are`;
  const note = isBundle ? "" : "; it was not verified, because no root was given (--roots FILE)";
  return [finding("ok", `${file}: ${count} valid now${note}`)];
}
