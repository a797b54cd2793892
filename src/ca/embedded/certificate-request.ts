// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import type { Budget } from "../../lib/budget.ts";
import { AgentError } from "../../lib/errors.ts";
import {
  generalNameTag,
  parseBasicConstraints,
  parseExtensions,
  parseGeneralNames,
} from "../../lib/pki/certificate-fields.ts";
import { childrenOf, type DerElement, derTag, expectTag, readDerElement, readOid } from "../../lib/pki/der-reader.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import { type PublicKeyFacts, readPublicKeyFacts } from "../../lib/pki/public-key.ts";
import { oid, signatureOids } from "../../lib/pki/x509-der.ts";

/** The content of a signing request whose signature is verified. */
export interface CertificateRequest {
  readonly publicKey: KeyObject;
  readonly uris: readonly string[];
  /** The number of subject alternative names that are not URIs. */
  readonly otherNames: number;
}

export class CsrError extends AgentError {
  readonly code = "AGENT_CSR";
  constructor(problem: string, cause?: unknown) {
    super(`read the signing request: ${problem}`, { cause });
  }
}

/** The hash of each signature algorithm; null where the algorithm includes it. */
const requestHashes: ReadonlyMap<string, string | null> = new Map([
  [signatureOids["rsa-sha256"], "sha256"],
  [signatureOids["ecdsa-sha256"], "sha256"],
  [signatureOids["ecdsa-sha384"], "sha384"],
  ["1.3.101.112", null],
]);
const knownExtensions: ReadonlySet<string> = new Set([
  oid.subjectAltName,
  oid.basicConstraints,
  oid.keyUsage,
  oid.extendedKeyUsage,
]);
const allowedCurves: ReadonlySet<string> = new Set(["P-256", "P-384"]);

/**
 * Reads a PKCS#10 request, and verifies that its sender has the private key. The request's size is limited, and its
 * structure is read one level at a time, so that neither depth nor width costs anything.
 * @param limit of its length; a request with the largest key and a long name has 3 KB
 * @throws CsrError
 * Source: RFC 2986 section 4
 */
export function readRequest(pem: string, limit: Budget): CertificateRequest {
  if (!limit.admits(pem.length)) throw new CsrError(limit.text);
  const { blocks, problem } = splitPem(pem);
  const block = blocks[0];
  if (problem !== undefined || block?.label !== "CERTIFICATE REQUEST") throw new CsrError("it is not a PEM request");
  try {
    return parseRequest(block.der);
  } catch (error) {
    if (error instanceof CsrError) throw error;
    throw new CsrError("it is not a PKCS#10 request", error);
  }
}

function parseRequest(der: Uint8Array): CertificateRequest {
  const [info, algorithm, signature] = childrenOf(readDerElement(der, derTag.sequence));
  const [, , spki, attributes] = childrenOf(info);
  const hash = requestHashes.get(readOid(childrenOf(algorithm)[0]));
  if (hash === undefined)
    throw new CsrError("its signature algorithm is not supported; use SHA-256, SHA-384 or Ed25519");
  const key = expectTag(spki, derTag.sequence).bytes;
  checkKey(readPublicKeyFacts(key));
  const publicKey = createPublicKey({ key: Buffer.from(key), type: "spki", format: "der" });
  // The first byte of a bit string is the number of unused bits.
  const bits = expectTag(signature, derTag.bitString).content.subarray(1);
  if (!verify(hash, expectTag(info, derTag.sequence).bytes, publicKey, bits)) {
    throw new CsrError("its signature is not by the key that it names");
  }
  return { publicKey, ...readNames(attributes) };
}

/** @throws CsrError for a key that no peer of a mesh should accept */
function checkKey(key: PublicKeyFacts): void {
  if (key.kind === "rsa") {
    if (key.bits < 2_048 || key.bits > 8_192) {
      throw new CsrError(`an RSA key of ${String(key.bits)} bits is not signed; use 2048 to 8192`);
    }
    const isSound = key.exponent % 2n === 1n && key.exponent >= 65_537n && key.exponent < 2n ** 33n;
    if (!isSound) throw new CsrError("an RSA key with this public exponent is not signed; use 65537");
    return;
  }
  if (key.kind === "ed25519" || (key.kind === "ec" && allowedCurves.has(key.curve))) return;
  const name = key.kind === "ec" ? `the curve ${key.curve}` : `the algorithm ${key.algorithm}`;
  throw new CsrError(`a key of ${name} is not signed; use RSA, P-256, P-384 or Ed25519`);
}

/** The names that are requested. What cannot be granted is an error, not ignored. */
function readNames(attributes: DerElement | undefined): Pick<CertificateRequest, "uris" | "otherNames"> {
  const requested = extensionsOf(attributes);
  for (const [id, { isCritical }] of requested) {
    if (isCritical && !knownExtensions.has(id)) throw new CsrError(`it has the unknown critical extension ${id}`);
  }
  const constraints = requested.get(oid.basicConstraints);
  if (constraints !== undefined && parseBasicConstraints(constraints.value).isAuthority) {
    throw new CsrError("it asks for the certificate of an authority");
  }
  const alternative = requested.get(oid.subjectAltName);
  const names = alternative === undefined ? [] : parseGeneralNames(alternative.value);
  const uris = names
    .filter(({ tag }) => tag === generalNameTag.uri)
    .map(({ value }) => Buffer.from(value).toString("latin1"));
  return { uris, otherNames: names.length - uris.length };
}

function extensionsOf(attributes: DerElement | undefined): ReturnType<typeof parseExtensions> {
  if (attributes === undefined) return new Map();
  const requests = childrenOf(attributes, 0xa0)
    .map((attribute) => childrenOf(attribute))
    .filter(([id]) => readOid(id) === oid.extensionRequest);
  const [request, ...more] = requests;
  if (more.length > 0) throw new CsrError("it has two lists of extensions");
  return request === undefined ? new Map() : parseExtensions(childrenOf(request[1], derTag.set)[0]);
}
