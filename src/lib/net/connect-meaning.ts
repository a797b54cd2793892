// SPDX-License-Identifier: Apache-2.0

/** What the system's codes of a failed connection mean, for a reader who does not know them. */
const meanings: ReadonlyMap<string, string> = new Map([
  ["ENOTFOUND", "the name does not resolve"],
  ["EAI_NODATA", "the name has no address"],
  ["EAI_AGAIN", "the machine's DNS resolver does not respond"],
  ["ECONNREFUSED", "nothing listens there"],
  ["EHOSTUNREACH", "there is no route to it"],
  ["ENETUNREACH", "there is no route to it"],
  ["EHOSTDOWN", "the host is down"],
  ["ETIMEDOUT", "it does not respond"],
]);

/** Undefined for any other code. */
export function connectMeaning(code: string | undefined): string | undefined {
  return meanings.get(code ?? "");
}
