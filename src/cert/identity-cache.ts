// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { shortHash } from "../lib/content-hash.ts";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { describeError } from "../lib/errors.ts";
import { type JsonObject, parseJsonObject } from "../lib/json.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";
import { assertPrivateDirectorySync, othersMayAccess, readPrivateFileSync } from "../lib/fs/private-file.ts";
import { splitPem } from "../lib/pki/pem.ts";
import type { ProvidedIdentity } from "../model/provided-identity.ts";
import type { CertificateState, CheckedIdentity } from "./certificate-state.ts";
import { IdentityCacheError } from "./errors.ts";
import type { HeldIdentities } from "./held-identities.ts";
import { readPrivateKey } from "./read-certificate.ts";
import { checkResponse, maxSkewMs } from "./response-check.ts";
import type { CertDeps, KeyAlgorithm } from "./types.ts";

/** `f_type` of tmpfs and ramfs. Source: Linux, statfs(2) */
const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** An identity as it is cached. */
interface CachedIdentity {
  readonly spiffeId: string;
  readonly acceptedMs: number;
  readonly chainPem: string;
  readonly keyPem: string;
  /** The roots of the CA and of mounted files only: trust anchors of the mesh may be withdrawn before a restart. */
  readonly rootsPem: string;
}

/** One file for each identity that is configured, so that workloads that share the directory by mistake do not mix their identities. */
function fileFor(directory: string, spiffeId: string): string {
  return join(directory, `identity-${shortHash(spiffeId, 16)}.json`);
}

/** What the configuration says about a cached identity. */
interface ExpectedIdentity {
  /** The configured one; the CA may have issued the certificate in another trust domain. */
  readonly spiffeId: string;
  readonly key: KeyAlgorithm;
  readonly strictTrustDomain: boolean;
}

/**
 * Restores the identity that an earlier run of the agent cached, when it is this workload's, has the kind of key that is
 * configured now, and is intact and still valid. It is checked like a CA's response. An unusable cache is logged and
 * otherwise ignored.
 */
export function restoreIdentity(
  directory: string,
  state: CertificateState,
  { spiffeId: configured, key, strictTrustDomain }: ExpectedIdentity,
  { clock, log, budgets }: CertDeps,
): void {
  const path = fileFor(directory, configured);
  try {
    const cached = readCache(directory, path);
    if (cached === undefined) return;
    if (!isOfAlgorithm(readPrivateKey(cached.keyPem), key))
      throw new IdentityCacheError(path, "its key is not of the configured algorithm");
    const identity = checkStored(cached, { spiffeId: configured, strictTrustDomain }, { clock, budgets });
    state.accept({ ...identity, acceptedMs: cached.acceptedMs });
    log.info("identity restored from the cache", { serial: identity.certificate.serial });
  } catch (error) {
    log.warn("cached identity not usable; requesting a new one", { path, error: describeError(error) });
  }
}

/**
 * Checks an identity of this workload that was stored in files as a CA's response is checked. The files are this user's,
 * and what is in them was issued by a CA that was authenticated.
 * @throws ResponseError
 */
export function checkStored(
  { chainPem, keyPem, rootsPem }: ProvidedIdentity,
  expected: Pick<ExpectedIdentity, "spiffeId" | "strictTrustDomain">,
  { clock, budgets }: Pick<CertDeps, "clock" | "budgets">,
): Omit<CheckedIdentity, "acceptedMs"> {
  const privateKey = readPrivateKey(keyPem);
  const expectation = { ...expected, privateKey, nowMs: clock.now(), maxSkewMs, budgets };
  const { leaf, chain, roots, spiffeId } = checkResponse({ chainPem, rootsPem, isAuthenticated: true }, expectation);
  const { notBeforeMs, notAfterMs } = leaf;
  const serial = leaf.x509.serialNumber;
  const certificate = { chainPem: joinPem(chain), keyPem, spiffeId, serial, notBeforeMs, notAfterMs };
  return { certificate, roots, keepRootsMs: notAfterMs - notBeforeMs };
}

function joinPem(chain: readonly { readonly pem: string }[]): string {
  return chain.map(({ pem }) => pem).join("");
}

const curveNames = { "P-256": "prime256v1", "P-384": "secp384r1" } as const;

function isOfAlgorithm({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, algorithm: KeyAlgorithm): boolean {
  if (asymmetricKeyType !== algorithm.kind) return false;
  return algorithm.kind === "rsa"
    ? asymmetricKeyDetails?.modulusLength === algorithm.bits
    : asymmetricKeyDetails?.namedCurve === curveNames[algorithm.curve];
}

/**
 * Writes each identity in use to the cache, until the signal aborts.
 * @param configured the configured identity, which a later run knows before it has a certificate
 */
export async function writeCache(
  directory: string,
  configured: string,
  held: HeldIdentities,
  { clock, log }: CertDeps,
  signal: AbortSignal,
): Promise<void> {
  await warnUnlessInMemory(directory, log);
  for await (const secret of held.default.watch(signal)) {
    if (secret.kind !== "certificate") continue;
    const { spiffeId, chainPem, keyPem } = secret;
    const rootsPem = held.roots.lastingRootsPem;
    const acceptedMs = held.served?.acceptedMs ?? clock.now();
    const identity: CachedIdentity = { spiffeId, acceptedMs, chainPem, keyPem, rootsPem };
    try {
      makeDirectorySync(directory, 0o700);
      assertPrivateDirectorySync(directory, othersMayAccess);
      writeFileAtomicSync(fileFor(directory, configured), JSON.stringify(identity), 0o600);
    } catch (error) {
      log.error("cannot write the identity cache", { directory, error: describeError(error) });
    }
  }
}

/** @returns undefined when there is none */
function readCache(directory: string, path: string): CachedIdentity | undefined {
  if (!existsSync(directory)) return undefined;
  assertPrivateDirectorySync(directory, othersMayAccess);
  const text = readPrivateFileSync(path);
  return text === undefined ? undefined : parseCache(path, text);
}

function parseCache(path: string, text: string): CachedIdentity {
  const { acceptedMs, ...parts } = parseObject(path, text);
  const part = (name: string): string => {
    const found = parts[name];
    if (typeof found === "string") return found;
    throw new IdentityCacheError(path, `it has no ${name}`);
  };
  if (typeof acceptedMs !== "number") throw new IdentityCacheError(path, "it has no acceptedMs");
  if (splitPem(part("keyPem")).blocks.length !== 1) throw new IdentityCacheError(path, "it has no key");
  return {
    spiffeId: part("spiffeId"),
    acceptedMs,
    chainPem: part("chainPem"),
    keyPem: part("keyPem"),
    rootsPem: part("rootsPem"),
  };
}

/** The parser's own error is left out: it may quote the key. */
function parseObject(path: string, text: string): JsonObject {
  const value = parseJsonObject(text);
  if (value === undefined) throw new IdentityCacheError(path, "it is not a JSON object");
  return value;
}

async function warnUnlessInMemory(directory: string, log: CertDeps["log"]): Promise<void> {
  try {
    makeDirectorySync(directory, 0o700);
  } catch {
    // Reported when an identity is written.
  }
  const found = await statfs(directory).catch(() => undefined);
  if (found === undefined || memoryFileSystems.has(found.type)) return;
  log.warn("identity cache is on a disk; mount a tmpfs there", { directory });
}
