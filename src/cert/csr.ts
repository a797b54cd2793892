// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import {
  derBitString,
  derInteger,
  derOid,
  derPrintableString,
  derSequence,
  derSet,
  derTagged,
} from "../lib/pki/der.ts";
import { assertNever } from "../lib/errors.ts";
import { formatPem } from "../lib/pki/pem.ts";
import {
  derExtension,
  derOrganization,
  derSignatureAlgorithm,
  derUriName,
  oid,
  type SignatureAlgorithm,
} from "../lib/pki/x509-der.ts";
import { checkAccount, checkSpiffeId } from "../model/spiffe-id.ts";
import { IdentityIncompleteError, KeyAlgorithmError } from "./errors.ts";
import type { CertConfig, KeyAlgorithm } from "./types.ts";

/** A new private key and the CSR for its certificate. */
export interface KeyAndRequest {
  /** Never logged, never in an error. */
  readonly privateKey: KeyObject;
  readonly csrPem: string;
}

const generate = promisify(generateKeyPair);

/**
 * Creates a key pair and the CSR for a SPIFFE ID. Key generation and signing run off the event loop.
 * @param spiffeId the URI of the one subject alternative name
 * @throws KeyAlgorithmError
 */
export async function createKeyAndRequest(algorithm: KeyAlgorithm, spiffeId: string): Promise<KeyAndRequest> {
  const privateKey = await generatePrivateKey(algorithm);
  return { privateKey, csrPem: await renderRequest(privateKey, algorithm, spiffeId) };
}

async function generatePrivateKey(algorithm: KeyAlgorithm): Promise<KeyObject> {
  switch (algorithm.kind) {
    case "rsa": {
      if (!Number.isInteger(algorithm.bits) || algorithm.bits < 2048) {
        throw new KeyAlgorithmError(`an RSA key of ${String(algorithm.bits)} bits is not allowed; use 2048 or more`);
      }
      return (await generate("rsa", { modulusLength: algorithm.bits })).privateKey;
    }
    case "ec":
      return (await generate("ec", { namedCurve: algorithm.curve })).privateKey;
    default:
      throw new KeyAlgorithmError(`unknown algorithm ${JSON.stringify(algorithm)}; use RSA, or EC with P-256 or P-384`);
  }
}

/**
 * The CSR has the form that strict registration authorities require: an empty organisation as the subject, no attribute
 * but the extension request, no extension but the critical alternative name with one URI.
 * Source: RFC 2986; the form as observed with Istio 1.31
 */
async function renderRequest(privateKey: KeyObject, algorithm: KeyAlgorithm, spiffeId: string): Promise<string> {
  const { name, hash } = signatureAlgorithm(algorithm);
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const alternativeName = derExtension(oid.subjectAltName, true, derSequence(derUriName(spiffeId)));
  const extensionRequest = derSequence(derOid(oid.extensionRequest), derSet(derSequence(alternativeName)));
  const subject = derOrganization(derPrintableString(""));
  const info = derSequence(derInteger(0), subject, spki, derTagged(0, extensionRequest));
  const signature = await signOffLoop(hash, info, privateKey);
  return formatPem("CERTIFICATE REQUEST", derSequence(info, derSignatureAlgorithm(name), derBitString(signature)));
}

function signatureAlgorithm(algorithm: KeyAlgorithm): { readonly name: SignatureAlgorithm; readonly hash: string } {
  switch (algorithm.kind) {
    case "rsa":
      return { name: "rsa-sha256", hash: "sha256" };
    case "ec":
      return algorithm.curve === "P-384"
        ? { name: "ecdsa-sha384", hash: "sha384" }
        : { name: "ecdsa-sha256", hash: "sha256" };
    default:
      return assertNever(algorithm);
  }
}

function signOffLoop(hash: string, data: Uint8Array, key: KeyObject): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    sign(hash, data, key, (error, signature) => {
      if (error === null) resolve(signature);
      else reject(error);
    });
  });
}

/**
 * The private key as text: PKCS#1 (`RSA PRIVATE KEY`), SEC1 (`EC PRIVATE KEY`), or PKCS#8 (`PRIVATE KEY`).
 * Source: the labels as observed with Istio 1.31, `PKCS8_KEY`
 */
export function renderPrivateKey(key: KeyObject, pkcs8: boolean): string {
  if (pkcs8) return key.export({ type: "pkcs8", format: "pem" });
  return key.export({ type: key.asymmetricKeyType === "rsa" ? "pkcs1" : "sec1", format: "pem" });
}

/**
 * An empty trust domain is sent as it is, as the reference does: istiod signs in its own.
 * @throws IdentityIncompleteError for an identity that no peer could verify
 */
export function assertCompleteIdentity({ identity, strictTrustDomain }: CertConfig): void {
  try {
    const isDecidedByCa = !strictTrustDomain && /^[\w.@-]*$/.test(identity.trustDomain);
    if (!isDecidedByCa) checkSpiffeId(identity);
    else checkAccount(identity);
  } catch (cause) {
    throw new IdentityIncompleteError(cause);
  }
}
