// SPDX-License-Identifier: Apache-2.0
import type { CaSecurity, SingleCaConfig } from "../../../ca/index.ts";
import type { AgentConfig } from "../../../config/index.ts";
import { formatHostPort, type HostPort } from "../../../lib/net/host-port.ts";
import type { TlsClientConfig } from "../../../lib/net/tls-client.ts";

/** A server that the agent connects to. */
export interface Peer {
  /** What it is to a person: `CA`, `control plane`. */
  readonly role: string;
  readonly address: HostPort;
  /** Undefined: plaintext, or TLS is made by way of a proxy. */
  readonly tls: TlsClientConfig | undefined;
  /** Whether its protocol is HTTP/2. */
  readonly http2: boolean;
  readonly settings: PeerSettings;
}

/** The settings that a cure names. */
export interface PeerSettings {
  readonly address: string;
  readonly roots: string;
  readonly serverName: string;
}

/** The CAs to call, in order; those without a server are left out. */
export function caPeers(
  config: Pick<AgentConfig, "identity" | "ca">,
): readonly { readonly ca: SingleCaConfig; readonly peer: Peer }[] {
  if (config.identity.kind !== "ca") return [];
  const members = config.ca.kind === "failover" ? config.ca.sources : [config.ca];
  return members.flatMap((ca) => {
    const peer = peerOf(ca);
    return peer === undefined ? [] : [{ ca, peer }];
  });
}

const caSettings: Readonly<Record<Exclude<SingleCaConfig["kind"], "embedded">, PeerSettings>> = {
  istio: { address: "CA_ADDR", roots: "CA_ROOT_CA", serverName: "ATTACHE_CA_SERVER_NAME" },
  vault: { address: "VAULT_ADDR", roots: "VAULT_CACERT", serverName: "ATTACHE_CA_SERVER_NAME" },
  step: { address: "ATTACHE_STEP_URL", roots: "ATTACHE_STEP_ROOT", serverName: "ATTACHE_CA_SERVER_NAME" },
  "kubernetes-csr": {
    address: "KUBERNETES_SERVICE_HOST",
    roots: "the service account's ca.crt",
    serverName: "KUBERNETES_SERVICE_HOST",
  },
};

const caRoles: Readonly<Record<keyof typeof caSettings, string>> = {
  istio: "CA",
  vault: "Vault",
  step: "step-ca",
  "kubernetes-csr": "Kubernetes API",
};

function peerOf(ca: SingleCaConfig): Peer | undefined {
  if (ca.kind === "embedded") return undefined;
  const { host, port, security } = ca.kind === "istio" ? ca : ca.server;
  if (host === "") return undefined;
  return {
    role: caRoles[ca.kind],
    address: { host, port },
    tls: tlsOf(security),
    http2: ca.kind === "istio",
    settings: caSettings[ca.kind],
  };
}

function tlsOf(security: CaSecurity): TlsClientConfig | undefined {
  return security.kind === "tls" ? security : undefined;
}

/** The addresses of the control plane, in order. Through an HTTP proxy it is the proxy that is connected to. */
export function controlPlanePeers({ xds }: Pick<AgentConfig, "xds">): readonly Peer[] {
  if (xds.kind !== "ads") return [];
  const { addresses, security, httpProxy } = xds.proxy.upstream;
  if (httpProxy !== undefined) {
    const settings = { address: "HTTPS_PROXY", roots: "XDS_ROOT_CA", serverName: "ISTIOD_SAN" };
    return [{ role: "HTTP proxy", address: httpProxy, tls: undefined, http2: false, settings }];
  }
  const settings = { address: "discoveryAddress", roots: "XDS_ROOT_CA", serverName: "ISTIOD_SAN" };
  const tls = security.kind === "tls" ? security : undefined;
  return addresses.map((address) => ({ role: "control plane", address, tls, http2: true, settings }));
}

/** Equal for peers that are connected to in the same way. */
export function peerKey({ address, tls, http2 }: Peer): string {
  return JSON.stringify([formatHostPort(address), tls?.serverName, tls?.roots, tls?.client, tls?.policy, http2]);
}
