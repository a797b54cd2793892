// SPDX-License-Identifier: Apache-2.0
import type { ChainChecks, ReadCertificate } from "../../cert/index.ts";
import { splitPem } from "../../lib/pki/pem.ts";

/** The certificates of a PEM text, and what of it is not one. */
export interface ReadPem {
  readonly certificates: readonly ReadCertificate[];
  /** Blocks that are not certificates or that cannot be read, each with the reason. Contains no part of a block. */
  readonly problems: readonly string[];
}

/** More are not read: a bundle of the system has some 150. */
const mostCertificates = 1_000;

/** Reads every certificate; a key beside them is named, and not read. */
export function readPem(text: string, { readCertificate }: ChainChecks): ReadPem {
  const { blocks, problem } = splitPem(text);
  const certificates: ReadCertificate[] = [];
  const problems: string[] = [];
  for (const [index, { label, der, pem }] of blocks.entries()) {
    if (label !== "CERTIFICATE") problems.push(`block ${String(index + 1)} is not a certificate (${label}); skipped`);
    else if (certificates.length >= mostCertificates) {
      problems.push(`more than ${String(mostCertificates)} certificates; the rest is not read`);
      break;
    } else {
      try {
        certificates.push(readCertificate(der, pem));
      } catch {
        problems.push(`block ${String(index + 1)} cannot be read as a certificate`);
      }
    }
  }
  if (problem !== undefined) problems.push(problem);
  if (blocks.length === 0 && problem === undefined) problems.push("there is no PEM block in it");
  return { certificates, problems };
}
