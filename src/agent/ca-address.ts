// SPDX-License-Identifier: Apache-2.0
import type { CaConfig } from "../ca/index.ts";
import { formatHostPort } from "../lib/net/host-port.ts";

/** Each configured CA in order of preference: its kind, and its address or directory. */
export function caAddresses(ca: CaConfig): readonly { readonly kind: string; readonly address: string }[] {
  switch (ca.kind) {
    case "failover":
      return ca.sources.flatMap(caAddresses);
    case "istio":
      return [{ kind: ca.kind, address: formatHostPort(ca) }];
    case "embedded":
      return [{ kind: ca.kind, address: ca.directory }];
    default:
      return [{ kind: ca.kind, address: formatHostPort(ca.server) }];
  }
}
