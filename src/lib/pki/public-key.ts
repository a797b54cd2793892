// SPDX-License-Identifier: Apache-2.0
import { childrenOf, type DerElement, DerError, derTag, expectTag, readDerElement, readOid } from "./der-reader.ts";

/** What decides whether a public key is strong enough. */
export type PublicKeyFacts =
  | { readonly kind: "rsa"; readonly bits: number; readonly exponent: bigint }
  /** @property curve the name as RFC 5480 and Web Crypto have it, or the dotted identifier of another one */
  | { readonly kind: "ec"; readonly curve: string }
  | { readonly kind: "ed25519" }
  /** @property algorithm dotted */
  | { readonly kind: "other"; readonly algorithm: string };

const curves: ReadonlyMap<string, string> = new Map([
  ["1.2.840.10045.3.1.7", "P-256"],
  ["1.3.132.0.33", "P-224"],
  ["1.3.132.0.34", "P-384"],
  ["1.3.132.0.35", "P-521"],
]);

/**
 * Reads the facts of a SubjectPublicKeyInfo. Explicit parameters of a curve, which BoringSSL does not read, are an error.
 * @throws DerError
 * Source: RFC 5280 section 4.1.2.7, RFC 3279 section 2.3.1, RFC 5480 section 2.1, RFC 8410
 */
export function readPublicKeyFacts(spki: Uint8Array): PublicKeyFacts {
  const [algorithm, key] = childrenOf(readDerElement(spki, derTag.sequence));
  const [id, parameters] = childrenOf(algorithm);
  const { content } = expectTag(key, derTag.bitString);
  const dotted = readOid(id);
  switch (dotted) {
    case "1.2.840.113549.1.1.1":
      return readRsaKey(content.subarray(1));
    case "1.2.840.10045.2.1": {
      const curve = readOid(parameters);
      return { kind: "ec", curve: curves.get(curve) ?? curve };
    }
    case "1.3.101.112":
      return { kind: "ed25519" };
    default:
      return { kind: "other", algorithm: dotted };
  }
}

function readRsaKey(bytes: Uint8Array): PublicKeyFacts {
  const [modulus, exponent] = childrenOf(readDerElement(bytes, derTag.sequence)).map(readPositive);
  if (modulus === undefined || exponent === undefined) throw new DerError("an RSA key is not whole");
  return { kind: "rsa", bits: modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24, exponent: toBigInt(exponent) };
}

/** The bytes of a number without leading zeros. */
function readPositive(element: DerElement): Uint8Array {
  const { content } = expectTag(element, derTag.integer);
  if (content.length === 0 || (content[0] ?? 0) >= 0x80) throw new DerError("a number is not positive");
  return content[0] === 0 ? content.subarray(1) : content;
}

/** Only small exponents are sound: the others count as 0. */
function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length > 8 ? 0n : BigInt(`0x0${Buffer.from(bytes).toString("hex")}`);
}
