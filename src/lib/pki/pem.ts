// SPDX-License-Identifier: Apache-2.0

/** One block of a PEM text. */
export interface PemBlock {
  /** For example `CERTIFICATE`. */
  readonly label: string;
  readonly der: Uint8Array;
  /** The block in its one normal form: lines of 64 characters, a newline at the end. */
  readonly pem: string;
}

/** The blocks read, and why reading stopped before the end of the text, if it did. */
export interface PemBlocks {
  readonly blocks: readonly PemBlock[];
  readonly problem: string | undefined;
}

const begin = "-----BEGIN ";
const dashes = "-----";

/**
 * Splits a text into its PEM blocks; text around them is skipped. Reading stops at the first block that is broken: what
 * came before it is returned, with the problem. The time is proportional to the text's length, whatever its content.
 * Source: RFC 7468 section 3 (lax form)
 */
export function splitPem(text: string): PemBlocks {
  const blocks: PemBlock[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const labelEnd = text.indexOf(dashes, at + begin.length);
    const label = text.slice(at + begin.length, labelEnd < 0 ? at + begin.length : labelEnd);
    if (!/^[A-Z0-9 ]{1,64}$/.test(label)) {
      return { blocks, problem: `PEM block ${String(blocks.length + 1)} has no readable BEGIN line` };
    }
    const end = `-----END ${label}-----`;
    const bodyEnd = text.indexOf(end, labelEnd);
    const body = bodyEnd < 0 ? undefined : text.slice(labelEnd + dashes.length, bodyEnd).replaceAll(/\s+/g, "");
    if (body === undefined || body === "" || body.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(body)) {
      const why = body === undefined ? "does not end" : "is not base64";
      return { blocks, problem: `PEM block ${String(blocks.length + 1)} (${label}) ${why}` };
    }
    const der = Buffer.from(body, "base64");
    blocks.push({ label, der, pem: formatPem(label, der) });
    at = bodyEnd + end.length;
  }
  return { blocks, problem: undefined };
}

/** A PEM block with lines of 64 characters and a newline at the end. */
export function formatPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/**
 * Joins texts in order, each on a line of its own: a newline is added between two if the first does not end with one.
 */
export function joinPem(texts: readonly string[]): string {
  return texts.map((text, i) => (text.endsWith("\n") || i === texts.length - 1 ? text : `${text}\n`)).join("");
}
