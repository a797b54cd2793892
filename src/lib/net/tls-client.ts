// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { SecureContext, SecureContextOptions } from "node:tls";
import { readTextFile } from "../fs/bounded-read.ts";
import { splitPem } from "../pki/pem.ts";
import type { TlsClientOptions } from "./tls-error.ts";

/** Limits on protocol versions, ciphers and groups, by the names of `COMPLIANCE_POLICY`. */
export type TlsClientPolicy = "default" | "fips-140-2" | "fips-140-3" | "pqc";

/** How a TLS server is verified, and the certificate to present to it. */
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
 * The options of one TLS connection. Files are read now, so that replaced files take effect with the next connection.
 * @param nowMs wall clock
 * @throws Error naming the root file, when it cannot be read or has no certificate
 */
export async function readTlsClientOptions(config: TlsClientConfig, nowMs: number): Promise<TlsClientOptions> {
  const context = await readContextOptions(config, nowMs);
  return { ...peerOptions(config), ...context, ...rootsFileOf(config, context) };
}

/** Connects to one server again and again. */
export interface TlsClient {
  /** As `readTlsClientOptions`, for the next connection. */
  options(nowMs: number): Promise<TlsClientOptions>;
}

/**
 * Keeps the TLS library's parsed form of the certificates until they change: with the system's roots, parsing blocks
 * the event loop for 8 ms.
 */
export function createTlsClient(config: TlsClientConfig): TlsClient {
  let kept: { readonly madeOf: SecureContextOptions; readonly secureContext: SecureContext } | undefined;
  return {
    async options(nowMs) {
      const madeOf = await readContextOptions(config, nowMs);
      if (kept === undefined || !isSame(kept.madeOf, madeOf)) {
        const { createSecureContext } = await import("node:tls");
        kept = { madeOf, secureContext: createSecureContext(madeOf) };
      }
      return { ...peerOptions(config), secureContext: kept.secureContext, ...rootsFileOf(config, madeOf) };
    },
  };
}

/** For the explanation of a failed handshake. */
function rootsFileOf({ roots }: TlsClientConfig, { ca }: SecureContextOptions): Pick<TlsClientOptions, "rootsFile"> {
  return roots.kind === "file" && typeof ca === "string" ? { rootsFile: { path: roots.path, pem: ca } } : {};
}

function peerOptions({ serverName }: TlsClientConfig): TlsClientOptions {
  return { host: serverName, ...(isIP(serverName) === 0 ? { servername: serverName } : {}) };
}

async function readContextOptions(config: TlsClientConfig, nowMs: number): Promise<SecureContextOptions> {
  const { roots, client, policy } = config;
  return {
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
    const [cert, key] = await Promise.all([readTextFile(files.chainPath), readTextFile(files.keyPath)]);
    const leaf = new X509Certificate(cert);
    const usable = leaf.checkPrivateKey(createPrivateKey(key)) && Date.parse(leaf.validTo) > nowMs;
    return usable ? { cert, key } : undefined;
  } catch {
    return undefined;
  }
}

async function readRoots(path: string): Promise<string> {
  const pem = await readTextFile(path).catch((cause: unknown) => {
    throw new Error(`the root certificate ${path} cannot be read`, { cause });
  });
  const { blocks } = splitPem(pem);
  if (!blocks.some((block) => block.label === "CERTIFICATE")) throw new Error(`there is no certificate in ${path}`);
  return pem;
}

/** Texts are compared; the lists of roots are the same object each time. */
function isSame(left: SecureContextOptions, right: SecureContextOptions): boolean {
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => Reflect.get(left, name) === Reflect.get(right, name));
}

async function systemRoots(): Promise<string[]> {
  const { getCACertificates } = await import("node:tls");
  const system = getCACertificates("system");
  return system.length > 0 ? system : getCACertificates("bundled");
}

/** Source: the limits of `COMPLIANCE_POLICY` as observed with Istio 1.31 */
function policyOptions(policy: TlsClientPolicy): SecureContextOptions {
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
