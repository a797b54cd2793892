// SPDX-License-Identifier: Apache-2.0
import type { CaConfig, CaSecurity, IstioCaConfig, CloudTokenConfig, SingleCaConfig } from "../../ca/types.ts";
import { type CaKind, identityChoice } from "./identity-section.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import { parseServiceAddress } from "../proxy-config/proxy-config.ts";
import { kubernetesCsrConfig, stepConfig, vaultConfig } from "./http-ca-section.ts";
import { type Sources, places } from "../sources/sources.ts";
import {
  type Roots,
  clientCertificate,
  compliancePolicy,
  existing,
  headersOf,
  keepaliveOf,
  positive,
  serverNameOf,
  tokenPath,
} from "./trust-section.ts";

/**
 * The CA, or several in order of preference.
 * @param used false: certificates come from elsewhere, and the CA's settings are not checked
 */
export function caConfig(sources: Sources, used: boolean): CaConfig {
  const choice = identityChoice(sources);
  const kinds: readonly CaKind[] = typeof choice === "string" || choice.length === 0 ? ["istio"] : choice;
  const members = kinds.map((kind) => singleCa(sources, kind, used));
  const [only] = members;
  if (members.length === 1 && only !== undefined) return only;
  return { kind: "failover", sources: members, switchAfterMs: sources.env.durationMs("ATTACHE_CA_FAILOVER_AFTER") };
}

function singleCa(sources: Sources, kind: CaKind, used: boolean): SingleCaConfig {
  switch (kind) {
    case "istio":
      return istioCa(sources, used);
    case "vault":
      return vaultConfig(sources);
    case "step":
      return stepConfig(sources);
    case "kubernetes-csr":
      return kubernetesCsrConfig(sources);
    case "embedded":
      return { kind, directory: sources.env.string("ATTACHE_EMBEDDED_CA_DIR") };
  }
}

/** A CA with Istio's API: istiod, or another one. */
function istioCa(sources: Sources, used: boolean): IstioCaConfig {
  const { env, proxy, findings } = sources;
  const given = env.string("CA_ADDR");
  const text = given === "" ? proxy.discoveryAddress : given;
  const address = parseServiceAddress(text, env.string("HOST_IP"));
  if (typeof address === "string" && given !== "") findings.problem("CA_ADDR", `invalid CA address: ${address}`);
  const { host, port } = typeof address === "string" ? { host: "", port: 0 } : address;
  if (used) checkCaProvider(sources, text);
  const security = caSecurity(sources, { host, port, given: given !== "", used });
  const tokenIsSafe = security.kind === "tls" || env.bool("ATTACHE_CA_PLAINTEXT");
  return {
    kind: "istio",
    host,
    port,
    security,
    tokenPath: tokenIsSafe ? tokenPath(sources) : undefined,
    cloudToken: tokenIsSafe ? cloudToken(sources) : undefined,
    clusterId: env.string("ISTIO_META_CLUSTER_ID"),
    certSigner: env.string("ISTIO_META_CERT_SIGNER"),
    headers: headersOf(env.all, "CA_HEADER_"),
    timeoutPerTryMs: positive(sources, "ATTACHE_CA_TIMEOUT"),
    keepalive: keepaliveOf(sources),
  };
}

/** The token of the cloud's metadata server. Its audience is the trust domain. */
export function cloudToken({ env, findings }: Sources): CloudTokenConfig | undefined {
  if (env.string("CREDENTIAL_FETCHER_TYPE") === "Mock")
    findings.warn("CREDENTIAL_FETCHER_TYPE", "Mock is not supported; the token file is used, as with JWT");
  if (env.string("CREDENTIAL_FETCHER_TYPE") !== "GoogleComputeEngine") return undefined;
  const { host, port } = hostAndPort(env.string("GCE_METADATA_HOST") || "169.254.169.254");
  return { host, port, audience: env.string("TRUST_DOMAIN") };
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const address = parseHostPort(text);
  return typeof address === "string" ? { host: text.replace(/^\[(.*)\]$/, "$1"), port: 80 } : address;
}

function checkCaProvider({ env, findings }: Sources, address: string): void {
  const provider = env.string("CA_PROVIDER");
  if (address.includes("googleapis.com")) {
    findings.problem(
      "CA_ADDR",
      `${address}: Google's CA service is not supported; give the address of istiod or another CA of Istio's API`,
    );
  } else if (provider !== "Citadel") {
    findings.problem(
      "CA_PROVIDER",
      `CA provider ${JSON.stringify(provider)} not registered; use Citadel or GkeWorkloadCertificate`,
    );
  }
}

interface CaPeer {
  readonly host: string;
  readonly port: number;
  readonly given: boolean;
  readonly used: boolean;
}

function caSecurity(sources: Sources, { host, port, given, used }: CaPeer): CaSecurity {
  const { env } = sources;
  if (port === 15_010) {
    const what = env.bool("ATTACHE_CA_PLAINTEXT")
      ? "with the token"
      : "without the token; use the CA's TLS port, or allow the token with ATTACHE_CA_PLAINTEXT=true";
    sources.findings.warn(
      "CA_ADDR",
      `the connection to the CA on port 15010 is not encrypted; requests are sent ${what}`,
    );
    return { kind: "plaintext" };
  }
  const san = given ? "" : env.string("ISTIOD_SAN");
  return {
    kind: "tls",
    serverName: env.string("ATTACHE_CA_SERVER_NAME") || san || serverNameOf(host),
    roots: used ? caRoots(sources) : { kind: "system" },
    client: clientCertificate(sources),
    policy: compliancePolicy(sources),
  };
}

/** Source: the order in which Istio's agent looks for the CA's root */
function caRoots(sources: Sources): Roots {
  const { env, findings } = sources;
  const given = env.string("CA_ROOT_CA");
  if (given === "SYSTEM") return { kind: "system" };
  if (given !== "") return existing(sources, "CA", "CA_ROOT_CA", given);
  const provider = env.string("PILOT_CERT_PROVIDER");
  if (provider === "custom") return existing(sources, "CA", "PILOT_CERT_PROVIDER", places.certificatesRoot);
  const provisioned = env.string("PROV_CERT");
  if (provisioned !== "") return existing(sources, "CA", "PROV_CERT", `${provisioned}/root-cert.pem`);
  if (provider === "none") {
    findings.problem("PILOT_CERT_PROVIDER", "none has no root certificate for the CA; set CA_ROOT_CA");
  }
  return existing(sources, "CA", "CA_ROOT_CA", places.root);
}
