// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import forge from "node-forge";
import { AgentError } from "../../lib/errors.ts";
import { splitPem } from "../../lib/pki/pem.ts";

/** What a signing request asks for; its signature was checked. */
export interface ReadRequest {
  readonly publicKey: KeyObject;
  readonly uris: readonly string[];
  /** How many names of other kinds it asks for. */
  readonly otherNames: number;
}

export class CsrError extends AgentError {
  readonly code = "AGENT_CSR";
  constructor(problem: string, cause?: unknown) {
    super(`read the signing request: ${problem}`, { cause });
  }
}

const oid = { extensionRequest: "1.2.840.113549.1.9.14", subjectAltName: "2.5.29.17" };
const hashes: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
};

/**
 * Reads a PKCS#10 request and verifies that its sender has the private key.
 * @throws CsrError
 * Source: RFC 2986 section 4
 */
export function readRequest(pem: string): ReadRequest {
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

function parseRequest(der: Uint8Array): ReadRequest {
  const request = parseDer(binary(der));
  const [info, algorithm, signature] = children(request);
  const [, , spki, attributes] = children(info);
  if (info === undefined || spki === undefined) throw new CsrError("it has no key");
  const hash = hashes[forge.asn1.derToOid(text(children(algorithm)[0]))];
  if (hash === undefined)
    throw new CsrError("its signature is of a kind that is not supported; use SHA-256 or SHA-384");
  const publicKey = createPublicKey({ key: encode(spki), type: "spki", format: "der" });
  // The first byte of a bit string counts its unused bits.
  if (!verify(hash, encode(info), publicKey, Buffer.from(text(signature).slice(1), "latin1"))) {
    throw new CsrError("its signature is not by the key that it names");
  }
  const names = alternativeNames(attributes);
  const uris = names.filter((name) => tagOf(name) === 6).map((name) => text(name));
  return { publicKey, uris, otherNames: names.length - uris.length };
}

function alternativeNames(attributes: forge.asn1.Asn1 | undefined): readonly forge.asn1.Asn1[] {
  const extensions =
    attributes === undefined
      ? []
      : children(attributes)
          .filter((attribute) => isObject(attribute, oid.extensionRequest))
          .flatMap((attribute) => children(children(attribute)[1]))
          .flatMap((list) => children(list));
  return extensions
    .filter((extension) => isObject(extension, oid.subjectAltName))
    .flatMap((extension) => children(parseDer(text(children(extension).at(-1)))));
}

function tagOf(value: { readonly type: number }): number {
  return value.type;
}

function isObject(sequence: forge.asn1.Asn1, id: string): boolean {
  return forge.asn1.derToOid(text(children(sequence)[0])) === id;
}

/** Bit strings are left as they are: the signature's content is itself DER and would be taken apart. */
function parseDer(bytes: string): forge.asn1.Asn1 {
  const options: unknown = { strict: true, parseAllBytes: true, decodeBitStrings: false };
  return forge.asn1.fromDer(forge.util.createBuffer(bytes), options as boolean); // the types know only the older form
}

function encode(value: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(value).getBytes(), "latin1");
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function children(value: forge.asn1.Asn1 | undefined): readonly forge.asn1.Asn1[] {
  if (value === undefined || typeof value.value === "string") throw new CsrError("a part of it is not as it should be");
  return value.value;
}

function text(value: forge.asn1.Asn1 | undefined): string {
  if (typeof value?.value !== "string") throw new CsrError("a part of it is not as it should be");
  return value.value;
}
