// SPDX-License-Identifier: Apache-2.0
import { isPublicPem } from "./encoded-secrets.ts";
import type { Frame } from "./json-frame.ts";
import { redactLines } from "./line-redactor.ts";
import type { RemovalKind, Removals } from "./removals.ts";
import { isHarmlessValue, isValueMember } from "./secret-names.ts";
import { redactText } from "./secret-text.ts";

const inlineMember = /^inline_?(?:string|bytes|code)$|^(?:default_)?source_?codes?$|^config_?yaml$|^local_?jwks$/i;
const formatMember = /^(?:text_format|textFormat|text_format_source|textFormatSource|json_format|jsonFormat|format)$/;

/** Larger documents within a string are read as text. */
const longestDocument = 256 * 1024;

/** What a string of a document is replaced by: its text if it is harmless. */
export function redactString(text: string, frame: Frame, removals: Removals, parse: (text: string) => string): string {
  const { current } = frame;
  if (isFormat(frame)) return redactFormat(text, removals);
  if (inlineMember.test(current)) {
    return isHarmlessValue(text) || isPublicPem(text) || isPublicPem(decoded(text)) ? text : hide(text, removals);
  }
  if (isValueMember(current) && isOpaque(text) && !isPublicPem(decoded(text))) return hide(text, removals);
  if (/^\s{0,100}[{[]/.test(text) && text.length <= longestDocument) {
    const document = redactDocument(text, parse);
    if (document !== undefined) return document;
  }
  return text.includes("\n") ? redactLines(text, removals) : redactText(text, removals);
}

function hide(text: string, removals: Removals, kind: RemovalKind = "inline-data"): string {
  return text === "" ? text : removals.count(kind);
}

function decoded(text: string): string {
  return Buffer.from(text, "base64").toString("latin1");
}

/** Opaque bytes, such as a message of an unknown type. */
function isOpaque(text: string): boolean {
  return text.length >= 40 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) && /\d/.test(text) && /[A-Z]/.test(text);
}

function redactDocument(text: string, parse: (text: string) => string): string | undefined {
  try {
    JSON.parse(text);
    return parse(text);
  } catch {
    return undefined;
  }
}

/** Whether the current value is the format of an access log. */
function isFormat(frame: Frame): boolean {
  for (let at: Frame | undefined = frame, depth = 0; at !== undefined && depth < 8; at = at.parent, depth++) {
    if (formatMember.test(at.current)) return true;
  }
  return false;
}

/** Of the format of an access log, the operators are kept, and words that are no random text. */
function redactFormat(text: string, removals: Removals): string {
  const pieces = redactText(text, removals).split(/(%[^%\n]{1,500}%)/);
  return pieces.map((piece, index) => (index % 2 === 1 ? piece : redactWords(piece, removals))).join("");
}

function redactWords(text: string, removals: Removals): string {
  return text.replaceAll(/[\w+/=.~-]{8,}/g, (word) => {
    const isRandom = /[0-9]/.test(word) && /[A-Za-z]/.test(word);
    return isRandom ? removals.count("inline-data", word) : word;
  });
}
