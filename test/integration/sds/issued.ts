// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import type { Secret } from "../../../src/model/secret.ts";
import { newKey, publicKeyOf, type TestAuthority, testSpiffeId } from "../../support/test-authority.ts";

export interface Issued {
  readonly secret: Secret;
  readonly chainPem: string;
  readonly serial: string;
}

/** A certificate with a new key. */
export function issue(authority: TestAuthority, spiffeId = testSpiffeId): Issued {
  const key = newKey();
  const chainPem = authority.issue({ publicKey: publicKeyOf(key), uris: [spiffeId] }, Date.now());
  const keyPem = key.export({ format: "pem", type: "sec1" });
  const serial = new X509Certificate(chainPem).serialNumber;
  const facts = { spiffeId, serial, notBeforeMs: 0, notAfterMs: 1 };
  return { serial, chainPem, secret: { kind: "certificate", chainPem, keyPem, ...facts } };
}
