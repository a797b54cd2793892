// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { splitPem } from "../lib/pem.ts";
import type { CaSecurity, TlsPolicy } from "./ca-config.ts";

export type TlsSecurity = Extract<CaSecurity, { readonly kind: "tls" }>;

/** Certificate and key presented to the CA. */
export interface ClientPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * The options of one TLS connection. Roots are read now, so that replaced files count from the next connection on.
 * @throws Error naming the root file, when it cannot be read or has no certificate
 */
export async function readTlsOptions(
  security: TlsSecurity,
  client: ClientPair | undefined,
): Promise<ConnectionOptions> {
  const { serverName, roots, policy } = security;
  return {
    host: serverName,
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    ca: roots.kind === "system" ? await systemRoots() : await readRoots(roots.path),
    ...client,
    ...policyOptions(policy),
  };
}

/**
 * Reads the pair to present. It is left out when a file is missing, when the two do not belong together, or when the
 * certificate has expired: the token may still do. Source: the behaviour for virtual machines as observed with Istio 1.31
 */
export async function readClientPair(security: CaSecurity, nowMs: number): Promise<ClientPair | undefined> {
  if (security.kind === "plaintext" || security.client === undefined) return undefined;
  try {
    const [cert, key] = await Promise.all([
      readFile(security.client.chainPath, "utf8"),
      readFile(security.client.keyPath, "utf8"),
    ]);
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
function policyOptions(policy: TlsPolicy): ConnectionOptions {
  switch (policy) {
    case "default":
      return { minVersion: "TLSv1.2" };
    case "fips-140-2":
      return {
        minVersion: "TLSv1.2",
        maxVersion: "TLSv1.2",
        ecdhCurve: "P-256",
        ciphers: [
          "ECDHE-ECDSA-AES128-GCM-SHA256",
          "ECDHE-RSA-AES128-GCM-SHA256",
          "ECDHE-ECDSA-AES256-GCM-SHA384",
          "ECDHE-RSA-AES256-GCM-SHA384",
        ].join(":"),
      };
    case "fips-140-3":
      return { minVersion: "TLSv1.2", ecdhCurve: "P-256:P-384" };
    case "pqc":
      return { minVersion: "TLSv1.3", ecdhCurve: "X25519MLKEM768" };
  }
}
