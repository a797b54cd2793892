// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import type { TrustBundle } from "../model/secret.ts";
import type { DomainRoots, TrustDomains } from "../model/trust-domains.ts";
import { type ReadCertificate, urisOf } from "./read-certificate.ts";

/**
 * Who gives a root: the CA or the provider of the identity; the control plane; the configuration; a mounted file with the
 * roots of the mesh; a SPIFFE agent, for other trust domains that this workload federates with, or that it only offers.
 */
export type RootSource = "ca" | "mesh" | "configuration" | `file ${string}` | "federation" | "offer";

/** A root, and for whom it may speak. */
export interface GivenRoot {
  readonly root: ReadCertificate;
  /** The trust domain whose identities it verifies; undefined for the workload's own. */
  readonly trustDomain: string | undefined;
}

/** A trusted root, as far as it decides which trust domain is verified with it. */
export interface RootOfDomain {
  readonly pem: string;
  readonly subject: string;
  readonly issuer: string;
  /** Undefined for the own trust domain. */
  readonly trustDomain: string | undefined;
  readonly sources: ReadonlySet<RootSource>;
}

/**
 * The trust domains of a mesh's trust anchor: those that it is configured for, else the one that it names itself, else
 * the workload's own.
 * @param configured empty when the configuration names none
 * Source: Istio's API, MeshConfig.CertificateData; SPIFFE X.509-SVID, section 3 (a signing certificate names its domain)
 */
export function anchorsOf(root: ReadCertificate, configured: readonly string[]): readonly GivenRoot[] {
  const names = configured.length > 0 ? configured : namedDomains(root.x509);
  if (names.length === 0) return [{ root, trustDomain: undefined }];
  return names.map((trustDomain) => ({ root, trustDomain }));
}

function namedDomains(x509: X509Certificate): readonly string[] {
  try {
    return urisOf(x509).flatMap((uri) => /^spiffe:\/\/([^/?#]+)\/?$/.exec(uri)?.[1] ?? []);
  } catch {
    return [];
  }
}

/** `cluster.local` of `spiffe://cluster.local/ns/demo/sa/web`; empty for a text that is no SPIFFE ID. */
export function trustDomainOf(spiffeId: string): string {
  return /^spiffe:\/\/([^/?#]+)/.exec(spiffeId)?.[1] ?? "";
}

/** Divides roots by trust domain. */
export function trustDomainsOf(roots: readonly RootOfDomain[], ownNames: readonly string[]): TrustDomains {
  const isOwn = ({ trustDomain }: RootOfDomain): boolean => trustDomain === undefined || ownNames.includes(trustDomain);
  const own = roots.filter(isOwn);
  const others = roots.filter((root) => !isOwn(root));
  const known = byDomain(others);
  const federated = byDomain(others.filter(({ sources }) => [...sources].some((source) => source !== "offer")));
  const problems = known.flatMap(({ trustDomain }) => {
    const bare = bareAuthority(others.filter((root) => root.trustDomain === trustDomain));
    return bare === undefined
      ? []
      : [`peers of ${trustDomain} are rejected: Envoy verifies them with self-signed roots only, not with ${bare}`];
  });
  const bare = federated.length === 0 ? undefined : bareAuthority(own);
  const domains = { ownNames: [...ownNames].sort(), ownRootsPem: joinRoots(own), known };
  if (bare === undefined) return { ...domains, federated, problems };
  const text = `other trust domains are left out of ROOTCA: beside them, Envoy verifies the own one with self-signed roots only, not with ${bare}`;
  return { ...domains, federated: [], problems: [text, ...problems] };
}

function byDomain(roots: readonly RootOfDomain[]): readonly DomainRoots[] {
  const names = [...new Set(roots.map(({ trustDomain = "" }) => trustDomain))].sort();
  return names.map((trustDomain) => {
    const rootsPem = joinRoots(roots.filter((root) => root.trustDomain === trustDomain));
    return { trustDomain, rootsPem, isOwn: false };
  });
}

/**
 * The name of an intermediate authority without its root. Envoy's SPIFFE validator follows chains up to a self-signed
 * certificate, unlike its plain one. Source: observed with Envoy 1.40
 */
function bareAuthority(roots: readonly RootOfDomain[]): string | undefined {
  const bare = roots.find(({ subject, issuer }) => subject !== issuer && !roots.some((one) => one.subject === issuer));
  return bare === undefined ? undefined : JSON.stringify(bare.subject.replaceAll("\n", ", ").slice(0, 200));
}

/** Each root once, in an order that depends on the content alone. */
function joinRoots(roots: readonly RootOfDomain[]): string {
  return [...new Set(roots.map(({ pem }) => pem))].sort().join("");
}

/**
 * What `ROOTCA` has: the own roots alone, as long as no other trust domain has roots of its own; else those of each trust
 * domain, so that none can speak for another.
 */
export function rootsOfPeers(domains: TrustDomains): TrustBundle {
  return bundleOf(domains, domains.federated);
}

/** @param others the trust domains beside the own one */
export function bundleOf(domains: TrustDomains, others: readonly DomainRoots[]): TrustBundle {
  const { ownRootsPem: rootsPem } = domains;
  const isShared = others.every((other) => isWithin(other.rootsPem, rootsPem));
  if (isShared) return { rootsPem };
  return { rootsPem, domains: sorted([...ownDomainsOf(domains), ...others]) };
}

/** The names of the own trust domain, each with its roots. */
export function ownDomainsOf({ ownNames, ownRootsPem: rootsPem }: TrustDomains): readonly DomainRoots[] {
  return rootsPem === "" ? [] : ownNames.map((trustDomain) => ({ trustDomain, rootsPem, isOwn: true }));
}

function isWithin(rootsPem: string, otherPem: string): boolean {
  return rootsPem.split(/(?<=-----END CERTIFICATE-----\n)/).every((pem) => otherPem.includes(pem));
}

function sorted(domains: readonly DomainRoots[]): readonly DomainRoots[] {
  return domains.toSorted((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1));
}
