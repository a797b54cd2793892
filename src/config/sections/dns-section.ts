// SPDX-License-Identifier: Apache-2.0
import type { DnsAddress, DnsConfig } from "../../dns/dns-config.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import type { Sources } from "../sources/sources.ts";
import { trimTrailing } from "../../lib/trim.ts";

const defaultAddress: DnsAddress = { host: "localhost", port: 15_053 };
const dnsPort = 53;

/** The original resolv.conf of a machine whose resolver is the agent. Source: Istio's agent */
const savedResolvConf = "/var/lib/istio/resolv.conf";

/** Undefined: no DNS proxy. Source: Istio's agent, observed */
export function dnsConfig(sources: Sources): DnsConfig | undefined {
  const { env, role, node, input } = sources;
  const captures = env.bool("ISTIO_META_DNS_CAPTURE") && role === "sidecar";
  if (!env.bool("ISTIO_META_ENABLE_DNS_SERVER") && !captures) return undefined;
  const listen = listenAddress(sources);
  const isMachinesResolver = listen.port === dnsPort && input.system.uid === 0;
  const resolvConf = env.string("ATTACHE_RESOLV_CONF");
  return {
    listen,
    domain: { namespace: node.namespace, domain: withoutNamespace(node.domain, node.namespace) },
    forward: {
      resolvConfPaths: isMachinesResolver ? [savedResolvConf, resolvConf] : [resolvConf],
      parallel: env.bool("DNS_FORWARD_PARALLEL"),
      timeoutMs: forwardTimeoutMs(sources),
    },
    beforeTable: isMachinesResolver ? "forward" : "wait",
  };
}

/** Without a host, all addresses. Port 53 needs root. */
function listenAddress({ env, input, findings }: Sources): DnsAddress {
  const text = env.string("DNS_PROXY_ADDR");
  if (text === "") return defaultAddress;
  const anyHost = text.startsWith(":");
  const address = parseHostPort(anyHost ? `[::]${text}` : text);
  if (typeof address === "string") {
    findings.problem("DNS_PROXY_ADDR", `${JSON.stringify(text)} is not host:port: ${address}`);
    return defaultAddress;
  }
  if (address.port !== dnsPort || input.system.uid === 0) return address;
  findings.warn("DNS_PROXY_ADDR", "port 53 needs an agent that runs as root; localhost:15053 is used");
  return defaultAddress;
}

/** A timeout of 0 would fail every query. */
function forwardTimeoutMs({ env, findings }: Sources): number {
  const timeoutMs = env.durationMs("DNS_FORWARD_TIMEOUT");
  if (timeoutMs > 0) return timeoutMs;
  findings.warn("DNS_FORWARD_TIMEOUT", "must be above 0; the default 5s is used");
  return 5_000;
}

/** The part of the domain that all namespaces share. */
function withoutNamespace(domain: string, namespace: string): string {
  const bare = trimTrailing(domain.toLowerCase().replace(/^\.+/, ""), ".");
  return namespace !== "" && bare.startsWith(`${namespace.toLowerCase()}.`) ? bare.slice(namespace.length + 1) : bare;
}
