// SPDX-License-Identifier: Apache-2.0
import type { ChainChecks, ReadCertificate } from "../../cert/index.ts";
import { formatMoment } from "../../lib/relative-time.ts";
import { formatName } from "./certificate-details.ts";

/** The roots of one trust domain; undefined: they verify every peer. */
export interface DomainAnchors {
  readonly trustDomain: string | undefined;
  readonly roots: readonly ReadCertificate[];
}

export type ChainProblem =
  | "no-certificate"
  | "expired"
  | "not-yet-valid"
  | "no-roots"
  | "unknown-root"
  | "wrong-key"
  | "rejected";

/** Whether a chain is accepted by whoever has these roots. */
export type ChainVerdict =
  | { readonly isTrusted: true; readonly root: ReadCertificate; readonly trustDomain: string | undefined }
  | { readonly isTrusted: false; readonly problem: ChainProblem; readonly reason: string };

export interface ChainInput {
  /** Leaf first. */
  readonly chain: readonly ReadCertificate[];
  readonly anchors: readonly DomainAnchors[];
  /** Of the leaf. */
  readonly spiffeId: string | undefined;
  readonly nowMs: number;
  /** A workload's certificate must be good for both sides of a connection. */
  readonly purpose: "workload" | "server";
}

const mostNames = 3;

/** Verifies a chain as Envoy does: by the roots of the trust domain that the leaf's SPIFFE ID names. */
export function judgeChain(input: ChainInput, checks: ChainChecks): ChainVerdict {
  const { chain, anchors, spiffeId, nowMs, purpose } = input;
  const [leaf, ...intermediates] = chain;
  if (leaf === undefined) return problem("no-certificate", "there is no certificate");
  const time = validityProblem(leaf, "the certificate", nowMs);
  if (time !== undefined) return time;
  const trustDomain = trustDomainOf(spiffeId);
  const usable = anchors.filter((one) => one.trustDomain === undefined || one.trustDomain === trustDomain);
  const roots = usable.flatMap((one) => one.roots);
  if (roots.length === 0) return problem("no-roots", noRootsText(trustDomain, anchors));
  try {
    const path = checks.findPath(leaf, intermediates, roots, { nowMs, maxSkewMs: 0, search: "as-given", purpose });
    const root = path.at(-1) ?? leaf;
    return { isTrusted: true, root, trustDomain: usable.find((one) => one.roots.includes(root))?.trustDomain };
  } catch (error) {
    if (!(error instanceof checks.ResponseError)) throw error;
    if (error.failure !== "untrusted") return problem("rejected", error.message.replace(/^[^:]*: /, ""));
    return untrusted(chain, roots, nowMs, checks);
  }
}

function problem(kind: ChainProblem, reason: string): ChainVerdict & { readonly isTrusted: false } {
  return { isTrusted: false, problem: kind, reason };
}

/** Without `spiffe://`; undefined for no SPIFFE ID. */
export function trustDomainOf(spiffeId: string | undefined): string | undefined {
  return /^spiffe:\/\/([^/?#]+)/.exec(spiffeId ?? "")?.[1];
}

/** @param what names the certificate in the reason */
function validityProblem({ notBeforeMs, notAfterMs }: ReadCertificate, what: string, nowMs: number) {
  const when = (ms: number): string => `${formatMoment(ms, nowMs)} (${new Date(ms).toISOString()})`;
  if (notAfterMs <= nowMs) return problem("expired", `${what} expired ${when(notAfterMs)}`);
  if (notBeforeMs <= nowMs) return undefined;
  return problem("not-yet-valid", `${what} is valid only ${when(notBeforeMs)}; compare the clocks of both machines`);
}

function noRootsText(trustDomain: string | undefined, anchors: readonly DomainAnchors[]): string {
  const known = anchors.flatMap((one) => one.trustDomain ?? []);
  if (known.length === 0) return "there are no roots to verify it with";
  const domain = trustDomain === undefined ? "a certificate without SPIFFE ID" : `the trust domain ${trustDomain}`;
  return `there are no roots for ${domain}; there are roots for ${listed(known)}`;
}

/** Why no path leads to a root: follows the names of the issuers as far as they go. */
function untrusted(
  chain: readonly ReadCertificate[],
  roots: readonly ReadCertificate[],
  nowMs: number,
  { isSelfSigned }: ChainChecks,
): ChainVerdict {
  const seen = new Set<ReadCertificate>();
  let last = chain[0];
  while (last !== undefined && !seen.has(last)) {
    seen.add(last);
    const { issuer } = last.x509;
    const named = roots.filter((root) => root.x509.subject === issuer && root.x509.subject !== "");
    const [root] = named;
    if (root !== undefined) return rootProblem(last, named, nowMs) ?? otherKey(root);
    const next = chain.find((one) => !seen.has(one) && one.x509.subject === issuer && one.x509.subject !== "");
    const late = next === undefined ? undefined : validityProblem(next, `the issuer ${nameOf(next)}`, nowMs);
    if (late !== undefined) return late;
    if (next === undefined) break;
    last = next;
  }
  const [leaf] = chain;
  if (leaf !== undefined && isSelfSigned(leaf.x509)) {
    return problem("unknown-root", `the certificate is self-signed and not among the roots (${rootNames(roots)})`);
  }
  const issuer = JSON.stringify(formatName(last?.x509.issuer));
  return problem(
    "unknown-root",
    `its issuer ${issuer} is unknown: it leads to none of the roots (${rootNames(roots)})`,
  );
}

/** @param roots those of the issuer's name */
function rootProblem(
  last: ReadCertificate,
  roots: readonly ReadCertificate[],
  nowMs: number,
): ChainVerdict | undefined {
  const signer = roots.find((root) => last.x509.verify(root.x509.publicKey));
  if (signer === undefined) return undefined;
  return (
    validityProblem(signer, `the root ${nameOf(signer)}`, nowMs) ??
    problem("rejected", `the root ${nameOf(signer)} has signed it, but is not an authority for it`)
  );
}

function otherKey(root: ReadCertificate): ChainVerdict {
  const reason = `it is not signed by the root ${nameOf(root)}: there are two CAs of this name with different keys`;
  return problem("wrong-key", reason);
}

function nameOf({ x509 }: ReadCertificate): string {
  return JSON.stringify(formatName(x509.subject));
}

function rootNames(roots: readonly ReadCertificate[]): string {
  return listed([...new Set(roots.map(nameOf))]);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, mostNames).join(", ");
  return names.length > mostNames ? `${shown} and ${String(names.length - mostNames)} more` : shown;
}
