// SPDX-License-Identifier: Apache-2.0
import { canonicalIp } from "../lib/net/ip-address.ts";

/**
 * The address that a reverse name stands for, in its one spelling; undefined when it stands for none.
 * @param name in lower case with a trailing dot
 * Source: RFC 1035 section 3.5, RFC 3596 section 2.5
 */
export function addressOfReverseName(name: string): string | undefined {
  const v4 = /^((?:\d+\.){4})in-addr\.arpa\.$/.exec(name)?.[1];
  if (v4 !== undefined) return canonicalIp(v4.split(".").slice(0, 4).reverse().join("."));
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa\.$/.exec(name)?.[1];
  if (v6 === undefined) return undefined;
  const digits = v6.split(".").reverse().join("");
  return canonicalIp((digits.match(/..../g) ?? []).join(":"));
}
