// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import type { HeldIdentities } from "./held-identities.ts";
import { nameOnOneLine } from "./trust-roots.ts";
import type { CertInspection } from "./types.ts";

/** Reads what the status page shows besides the state. Takes a fraction of a millisecond. */
export function inspectHeld({ served, roots }: HeldIdentities): CertInspection {
  return {
    issuer: served === undefined ? undefined : nameOnOneLine(new X509Certificate(served.certificate.chainPem).issuer),
    roots: roots.facts,
  };
}
