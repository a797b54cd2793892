// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";

/** Longer ones are no chains of a mesh. */
const longestChain = 10;

/** The chain that a TLS peer has sent: the leaf and its issuers, as far as Node.js has linked them. Ends at a cycle. */
export function peerChain(leaf: X509Certificate | undefined): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = leaf; next !== undefined && chain.length < longestChain; next = next.issuerCertificate) {
    const { fingerprint256 } = next;
    if (chain.some((one) => one.fingerprint256 === fingerprint256)) break;
    chain.push(next);
  }
  return chain;
}
