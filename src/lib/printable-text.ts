// SPDX-License-Identifier: Apache-2.0

/** The length to which text of a peer is cut. */
export const peerTextBytes = 500;

const names: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Text with its control characters escaped, as in JSON: those of ASCII and of Latin-1, line separators, and the marks that
 * change the direction of text. A terminal obeys them, and a reader does not see them; text of a peer may contain any.
 * In JSON they occur inside strings only, where the escapes mean the same.
 */
export function escapeControls(text: string): string {
  let escaped = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    if (!isControl(text.charCodeAt(at))) continue;
    const char = text.charAt(at);
    escaped += text.slice(copied, at) + (names[char] ?? `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`);
    copied = at + 1;
  }
  return copied === 0 ? text : escaped + text.slice(copied);
}

function isControl(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    (code >= 0x200e && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

interface TextLimit {
  readonly size: number;
  admits(length: number): boolean;
}

let peerText: TextLimit = { size: peerTextBytes, admits: (length) => length <= peerTextBytes };

/** Counts texts against a budget from now on: errors are described before there is one, and in commands. */
export function limitPeerText(limit: TextLimit): void {
  peerText = limit;
}

/** Text of a peer, such as an error message, cut to the length that is kept and logged. */
export function shortenPeerText(text: string): string {
  return peerText.admits(text.length) ? text : `${text.slice(0, peerText.size)}…`;
}
