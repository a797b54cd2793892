// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { splitPem } from "./pem.ts";

/** Limits on protocol versions, ciphers and groups, by the names of `COMPLIANCE_POLICY`. */
export type TlsClientPolicy = "default" | "fips-140-2" | "fips-140-3" | "pqc";

/** How a TLS server is verified, and what is presented to it. */
export interface TlsClientConfig {
  /** For SNI, verification and `:authority`. */
  readonly serverName: string;
  readonly roots: { readonly kind: "system" } | { readonly kind: "file"; readonly path: string };
  /** Presented when both files are there and usable. */
  readonly client: { readonly chainPath: string; readonly keyPath: string } | undefined;
  readonly policy: TlsClientPolicy;
}

/** Certificate and key to present. */
export interface TlsClientPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * The options of one TLS connection. Files are read now, so that replaced ones count from the next connection on.
 * @param nowMs wall clock
 * @throws Error naming the root file, when it cannot be read or has no certificate
 */
export async function readTlsClientOptions(config: TlsClientConfig, nowMs: number): Promise<ConnectionOptions> {
  const { serverName, roots, client, policy } = config;
  return {
    host: serverName,
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    ca: roots.kind === "system" ? await systemRoots() : await readRoots(roots.path),
    ...(client === undefined ? {} : await readTlsClientPair(client, nowMs)),
    ...policyOptions(policy),
  };
}

/**
 * Reads the pair to present. It is left out when a file is missing, when the two do not belong together, or when the
 * certificate has expired: a token may still do. Source: the behaviour for virtual machines as observed with Istio 1.31
 */
export async function readTlsClientPair(
  files: { readonly chainPath: string; readonly keyPath: string },
  nowMs: number,
): Promise<TlsClientPair | undefined> {
  try {
    const [cert, key] = await Promise.all([readFile(files.chainPath, "utf8"), readFile(files.keyPath, "utf8")]);
    const leaf = new X509Certificate(cert);
    const usable = leaf.checkPrivateKey(createPrivateKey(key)) && Date.parse(leaf.validTo) > nowMs;
    return usable ? { cert, key } : undefined;
  } catch {
    return undefined;
  }
}

async function readRoots(path: string): Promise<string> {
  const pem = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new Error(`the root certificate ${path} cannot be read`, { cause });
  });
  const { blocks } = splitPem(pem);
  if (!blocks.some((block) => block.label === "CERTIFICATE")) throw new Error(`there is no certificate in ${path}`);
  return pem;
}

async function systemRoots(): Promise<string[]> {
  const { getCACertificates } = await import("node:tls");
  const system = getCACertificates("system");
  return system.length > 0 ? system : getCACertificates("bundled");
}

/** Source: the limits of `COMPLIANCE_POLICY` as observed with Istio 1.31 */
function policyOptions(policy: TlsClientPolicy): ConnectionOptions {
  switch (policy) {
    case "default":
      return { minVersion: "TLSv1.2" };
    case "fips-140-2":
      return { minVersion: "TLSv1.2", maxVersion: "TLSv1.2", ecdhCurve: "P-256", ciphers: gcmCiphers };
    case "fips-140-3":
      return { minVersion: "TLSv1.2", ecdhCurve: "P-256:P-384", ciphers: `${gcmSuites}:${gcmCiphers}` };
    case "pqc":
      return { minVersion: "TLSv1.3", ecdhCurve: "X25519MLKEM768", ciphers: gcmSuites };
  }
}

const gcmCiphers = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");

const gcmSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
