// SPDX-License-Identifier: Apache-2.0
import base from "../../bootstrap/tls.json" with { type: "json" };
import type { JsonObject } from "../lib/json.ts";
import type { ClientTls } from "./bootstrap-config.ts";
import { fillSlots } from "./slots.ts";

export interface UpstreamTlsOptions {
  /** The connection uses HTTP/2 and offers it in ALPN. */
  readonly alpn: boolean;
  /** The server name for Istio mutual TLS, when the settings have none. */
  readonly defaultSni: string;
}

/** The transport socket of a connection to a tracer or a remote service; undefined is plain text. */
export function renderUpstreamTls(tls: ClientTls | undefined, options: UpstreamTlsOptions): JsonObject | undefined {
  if (tls === undefined) return undefined;
  const istio = tls.mode === "ISTIO_MUTUAL";
  const sni = tls.sni === "" && istio ? options.defaultSni : tls.sni;
  const names = tls.subjectAltNames.map((exact) => ({ exact }));
  const validation = names.length === 0 ? {} : { match_subject_alt_names: names };
  const roots = rootsOf(tls);
  return fillSlots(base.upstream, {
    sni: sni === "" ? undefined : sni,
    alpnProtocols: options.alpn ? (istio ? ["istio", "h2"] : ["h2"]) : undefined,
    certificates: certificatesOf(tls),
    // Envoy rejects the combined form without roots.
    validation: roots === undefined ? validation : undefined,
    combinedValidation: roots === undefined ? undefined : fillSlots(base.combinedValidation, { validation, roots }),
  });
}

function certificatesOf(tls: ClientTls): readonly JsonObject[] | undefined {
  switch (tls.mode) {
    case "SIMPLE":
      return undefined;
    case "MUTUAL":
      return [sdsSecret(`file-cert:${tls.chainPath}~${tls.keyPath}`)];
    case "ISTIO_MUTUAL":
      return [sdsSecret("default", "0s")];
  }
}

function rootsOf(tls: ClientTls): JsonObject | undefined {
  if (tls.mode === "ISTIO_MUTUAL") return sdsSecret("ROOTCA", "0s");
  return tls.caPath === "" ? undefined : sdsSecret(`file-root:${tls.caPath}`);
}

/** The transport socket of a listener that requires a client certificate of the mesh. */
export function renderDownstreamTls(): JsonObject {
  return fillSlots(base.downstream, { certificates: [sdsSecret("default")], roots: sdsSecret("ROOTCA") });
}

function sdsSecret(name: string, initialFetchTimeout?: string): JsonObject {
  return fillSlots(base.secret, { name, initialFetchTimeout });
}
