// SPDX-License-Identifier: Apache-2.0
import type { HttpServer, KubernetesCsrConfig, StepCaConfig, VaultAuth, VaultCaConfig } from "../../ca/types.ts";
import { type Sources, places } from "../sources/sources.ts";
import { type Roots, compliancePolicy, positive } from "./trust-section.ts";
import type { VariableNameOf } from "../sources/variables.ts";

/** HashiCorp Vault or OpenBao. Source: Vault's own names of its client's variables */
export function vaultConfig(sources: Sources): VaultCaConfig {
  const { env } = sources;
  return {
    kind: "vault",
    server: httpServer(sources, "VAULT_ADDR", fileOrSystem(env.string("VAULT_CACERT"))),
    namespace: env.string("VAULT_NAMESPACE"),
    signPath: required(sources, "ATTACHE_VAULT_SIGN_PATH", "the path that signs, such as pki/sign/mesh"),
    auth: vaultAuth(sources),
    timeoutPerTryMs: positive(sources, "ATTACHE_CA_TIMEOUT"),
  };
}

function vaultAuth(sources: Sources): VaultAuth {
  const { env, findings } = sources;
  const method = env.string("ATTACHE_VAULT_AUTH");
  const tokenFile = env.string("ATTACHE_VAULT_TOKEN_FILE");
  const mount = env.string("ATTACHE_VAULT_AUTH_MOUNT") || method;
  switch (method) {
    case "token":
      return {
        kind: "token-file",
        path: required(sources, "ATTACHE_VAULT_TOKEN_FILE", "the file that holds the token"),
      };
    case "approle":
      return {
        kind: "approle",
        mount,
        roleIdPath: required(sources, "ATTACHE_VAULT_ROLE_ID_FILE", "the file that holds the role ID"),
        secretIdPath: required(sources, "ATTACHE_VAULT_SECRET_ID_FILE", "the file that holds the secret ID"),
      };
    default:
      if (method !== "kubernetes") {
        findings.problem(
          "ATTACHE_VAULT_AUTH",
          `unknown method ${JSON.stringify(method)}; use kubernetes, token or approle`,
        );
      }
      return {
        kind: "kubernetes",
        mount,
        role: required(sources, "ATTACHE_VAULT_ROLE", "the role to log in for"),
        tokenPath: tokenFile || places.serviceAccountToken,
      };
  }
}

/** Smallstep's step-ca. */
export function stepConfig(sources: Sources): StepCaConfig {
  const { env } = sources;
  const provisioner = env.string("ATTACHE_STEP_PROVISIONER");
  return {
    kind: "step",
    server: httpServer(sources, "ATTACHE_STEP_URL", fileOrSystem(env.string("ATTACHE_STEP_ROOT"))),
    auth:
      provisioner === ""
        ? { kind: "kubernetes", tokenPath: env.string("ATTACHE_STEP_TOKEN_FILE") || places.serviceAccountToken }
        : {
            kind: "jwk",
            provisioner,
            keyId: required(sources, "ATTACHE_STEP_KEY_ID", "the provisioner's key ID"),
            keyPath: required(sources, "ATTACHE_STEP_KEY_FILE", "the provisioner's key, as a PEM file"),
          },
    timeoutPerTryMs: positive(sources, "ATTACHE_CA_TIMEOUT"),
  };
}

/** A request that needs approval takes longer than one that does not. */
const approvalFactor = 6;

/** Kubernetes' certificate API. */
export function kubernetesCsrConfig(sources: Sources): KubernetesCsrConfig {
  const { env } = sources;
  const timeoutMs = positive(sources, "ATTACHE_CA_TIMEOUT");
  const host = required(sources, "KUBERNETES_SERVICE_HOST", "the address of Kubernetes' API");
  return {
    kind: "kubernetes-csr",
    server: {
      host,
      port: env.int("KUBERNETES_SERVICE_PORT"),
      security: {
        kind: "tls",
        serverName: host,
        roots: { kind: "file", path: places.serviceAccountRoot },
        client: undefined,
        policy: compliancePolicy(sources),
      },
    },
    tokenPath: places.serviceAccountToken,
    signerName: required(sources, "ATTACHE_KUBERNETES_SIGNER", "the signer, such as example.com/mesh"),
    rootsPath: required(sources, "ATTACHE_KUBERNETES_ROOTS", "the file with the signer's roots"),
    timeoutPerTryMs: env.isSet("ATTACHE_CA_TIMEOUT") ? timeoutMs : timeoutMs * approvalFactor,
  };
}

function fileOrSystem(path: string): Roots {
  return path === "" ? { kind: "system" } : { kind: "file", path };
}

function required({ env, findings }: Sources, name: VariableNameOf<"string">, what: string): string {
  const text = env.string(name);
  if (text === "") findings.problem(name, `must be set: ${what}`);
  return text;
}

/** The server of a URL. Without TLS it is a problem, unless ATTACHE_CA_PLAINTEXT allows it. */
function httpServer(sources: Sources, name: "VAULT_ADDR" | "ATTACHE_STEP_URL", roots: Roots): HttpServer {
  const { env, findings } = sources;
  const text = env.string(name);
  const url = URL.parse(text);
  const plaintext = url?.protocol === "http:";
  if (url === null || (!plaintext && url.protocol !== "https:")) {
    findings.problem(name, `${JSON.stringify(text)} is not an https:// URL`);
  } else if (plaintext && !env.bool("ATTACHE_CA_PLAINTEXT")) {
    findings.problem(name, `${text} is not encrypted; use https://, or allow it with ATTACHE_CA_PLAINTEXT=true`);
  }
  const host = (url?.hostname ?? "").replace(/^\[(.*)\]$/, "$1");
  return {
    host,
    port: Number(url?.port || (plaintext ? "80" : "443")),
    security: plaintext
      ? { kind: "plaintext" }
      : {
          kind: "tls",
          serverName: env.string("ATTACHE_CA_SERVER_NAME") || host,
          roots,
          client: undefined,
          policy: compliancePolicy(sources),
        },
  };
}
