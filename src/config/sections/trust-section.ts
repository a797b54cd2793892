// SPDX-License-Identifier: Apache-2.0
import type { TlsPolicy } from "../../ca/types.ts";
import { parseMode } from "../sources/environment.ts";
import { type Sources, places } from "../sources/sources.ts";

export type Roots = { readonly kind: "system" } | { readonly kind: "file"; readonly path: string };

export function serverNameOf(host: string): string {
  return host.includes("localhost") ? "istiod.istio-system.svc" : host;
}

export function clientCertificate({
  env,
}: Sources): { readonly chainPath: string; readonly keyPath: string } | undefined {
  const directory = env.string("PROV_CERT");
  return directory === "" ? undefined : { chainPath: `${directory}/cert-chain.pem`, keyPath: `${directory}/key.pem` };
}

export function existing({ input, findings }: Sources, peer: "CA" | "XDS", variable: string, path: string): Roots {
  if (path === "" || input.readFile(path).kind !== "text") {
    const shown = path.replace(/^\.\//, "");
    findings.problem(
      variable,
      `root CA file for ${peer} does not exist ${shown}; mount it there or name another one in ${peer}_ROOT_CA`,
    );
  }
  return { kind: "file", path };
}

export function tokenPath({ env, findings }: Sources): string | undefined {
  const kind = env.string("CREDENTIAL_FETCHER_TYPE");
  if (!["JWT", "GoogleComputeEngine", "Mock", ""].includes(kind)) {
    findings.problem("CREDENTIAL_FETCHER_TYPE", `invalid credential fetcher type ${kind}; use JWT or leave it unset`);
  }
  return places.token;
}

/** 0600 when agent and Envoy share a user; else 0666, in a directory that only root can list. */
export function socketMode({ env, findings, input }: Sources): number {
  const text = env.string("ATTACHE_SDS_SOCKET_MODE");
  const mode = parseMode(text);
  if (mode !== undefined) return mode;
  if (text !== "") findings.problem("ATTACHE_SDS_SOCKET_MODE", `${JSON.stringify(text)} is not a mode such as 0600`);
  return envoyUser(env.string("DNS_PROXY_ADDR"), input.system.uid) === undefined ? 0o600 : 0o666;
}

/** An agent that is root for port 53 runs Envoy as the proxy's usual user. */
export function envoyUser(dnsAddress: string, uid: number): { readonly uid: number; readonly gid: number } | undefined {
  return uid === 0 && dnsAddress.endsWith(":53") ? { uid: 1337, gid: 1337 } : undefined;
}

export function compliancePolicy({ env, findings }: Sources): TlsPolicy {
  const text = env.string("COMPLIANCE_POLICY");
  if (text === "fips-140-2" || text === "fips-140-3" || text === "pqc") return text;
  if (text !== "") findings.warn("COMPLIANCE_POLICY", `unknown policy ${JSON.stringify(text)}; it is ignored`);
  return "default";
}

export function headersOf(env: Readonly<Record<string, string>>, prefix: string): Readonly<Record<string, string>> {
  const entries = Object.entries(env).filter(([name]) => name.startsWith(prefix) && name !== prefix);
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]));
}

export function keepaliveOf({ env }: Sources): { readonly intervalMs: number; readonly timeoutMs: number } {
  return { intervalMs: env.durationMs("GRPC_KEEPALIVE_INTERVAL"), timeoutMs: env.durationMs("GRPC_KEEPALIVE_TIMEOUT") };
}

export function positive({ env, findings }: Sources, name: "ATTACHE_CA_TIMEOUT"): number {
  const ms = env.durationMs(name);
  if (ms <= 0) findings.problem(name, "must be above 0");
  return ms;
}
