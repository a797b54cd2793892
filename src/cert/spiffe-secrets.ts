// SPDX-License-Identifier: Apache-2.0
import type { Secret, TrustBundle } from "../model/secret.ts";
import type { TrustDomains } from "../model/trust-domains.ts";
import { SpiffeNameError } from "./errors.ts";
import { type HeldIdentities, secretContent } from "./held-identities.ts";
import { bundleOf, ownDomainsOf } from "./trust-domains.ts";

/** A secret under the name that SPIRE's agent gives it. */
export type SpiffeSecretName =
  /** `spiffe://a.example/web`: the certificate of this identity. */
  | { readonly kind: "spiffe-certificate"; readonly text: string }
  /** `spiffe://a.example`: the roots of this trust domain, which verify no other one. */
  | { readonly kind: "spiffe-roots"; readonly text: string; readonly trustDomain: string }
  /** `ALL`: the roots of every known trust domain, each for itself. */
  | { readonly kind: "all-roots"; readonly text: string };

/**
 * Yields the secret as soon as there is an identity, then each new one, until the signal aborts.
 * @throws SpiffeNameError when this workload has no such identity, or does not know the trust domain
 * Source: the names as SPIRE's agent 1.15 serves them
 */
export async function* watchSpiffeSecret(
  name: SpiffeSecretName,
  held: HeldIdentities,
  signal: AbortSignal,
): AsyncGenerator<Secret, void, undefined> {
  let last: string | undefined;
  for await (const secret of secretsOf(name, held, signal)) {
    const content = secretContent(secret);
    if (content === last) continue;
    last = content;
    yield secret;
  }
}

async function* secretsOf(
  name: SpiffeSecretName,
  { identities, domains }: HeldIdentities,
  signal: AbortSignal,
): AsyncGenerator<Secret, void, undefined> {
  if (name.kind === "spiffe-certificate") {
    for await (const all of identities.watch(signal)) {
      const secret = all.get(name.text);
      if (secret === undefined) throw new SpiffeNameError(name.text, `this workload's identity is ${listed(all)}`);
      yield secret;
    }
    return;
  }
  for await (const all of domains.watch(signal)) {
    const bundle = name.kind === "all-roots" ? bundleOf(all, all.known) : rootsOf(name.trustDomain, all);
    if (bundle === undefined) {
      const known = [...all.ownNames, ...all.known.map(({ trustDomain }) => trustDomain)].join(", ");
      throw new SpiffeNameError(name.text, `there are roots of the trust domains ${known}`);
    }
    if (bundle.rootsPem !== "") yield { kind: "trust-bundle", ...bundle };
  }
}

/** The own roots alone are a plain bundle as long as no other trust domain is known, as those of `ROOTCA` are. */
function rootsOf(trustDomain: string, all: TrustDomains): TrustBundle | undefined {
  if (all.ownNames.includes(trustDomain)) {
    const { ownRootsPem: rootsPem } = all;
    const isPlain = all.known.length === 0 || bundleOf(all, all.known).domains === undefined;
    return isPlain ? { rootsPem } : { rootsPem, domains: ownDomainsOf(all) };
  }
  const known = all.known.find((one) => one.trustDomain === trustDomain);
  return known === undefined ? undefined : { rootsPem: known.rootsPem, domains: [known] };
}

function listed(all: ReadonlyMap<string, Secret>): string {
  return [...all.keys()].slice(0, 10).join(", ");
}
