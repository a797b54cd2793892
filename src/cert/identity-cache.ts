// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { lstat, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { AgentError, describeError, systemCode } from "../lib/errors.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";
import { splitPem } from "../lib/pki/pem.ts";
import { checkAnswer, maxSkewMs } from "./answer.ts";
import type { CertDeps } from "./cert-store-face.ts";
import type { HeldIdentities } from "./held-identities.ts";
import type { IdentityBook } from "./identity-book.ts";
import { readPrivateKey } from "./providing.ts";

/** `f_type` of tmpfs and ramfs. Source: Linux, statfs(2) */
const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** What is kept of an identity; the roots are those trusted when it was written. */
interface CachedIdentity {
  readonly spiffeId: string;
  readonly acceptedMs: number;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
}

/** The cache may not be used as it is: somebody else could have written it, or could read it. */
export class IdentityCacheError extends AgentError {
  readonly code = "AGENT_IDENTITY_CACHE";
  constructor(path: string, problem: string, cause?: unknown) {
    super(`use the identity cache ${path}: ${problem}`, { cause });
  }
}

/** One file for each identity, so that a folder that is shared by mistake mixes nothing up. */
function fileFor(directory: string, spiffeId: string): string {
  return join(directory, `identity-${createHash("sha256").update(spiffeId).digest("hex").slice(0, 16)}.json`);
}

/**
 * Takes the identity that an earlier run of the agent left, when it is this workload's, intact and still valid. It is
 * checked like a CA's answer. Whatever is wrong with it is told and otherwise as if it were not there.
 */
export async function restoreIdentity(
  directory: string,
  book: IdentityBook,
  spiffeId: string,
  { clock, log }: CertDeps,
): Promise<void> {
  const path = fileFor(directory, spiffeId);
  try {
    const cached = await readCache(directory, path);
    if (cached === undefined) return;
    const privateKey = readPrivateKey(cached.keyPem);
    const answer = { chainPem: cached.chainPem, rootsPem: cached.rootsPem };
    const { leaf, roots } = checkAnswer(answer, { privateKey, spiffeId, nowMs: clock.now(), maxSkewMs });
    const { chainPem, keyPem, acceptedMs } = cached;
    const { notBeforeMs, notAfterMs } = leaf;
    const certificate = { chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs };
    book.accept({ certificate, roots, keepRootsMs: notAfterMs - notBeforeMs, acceptedMs });
    log.info("the identity of an earlier run is still valid", { serial: certificate.serial });
  } catch (error) {
    log.warn("the cached identity cannot be used", { path, error: describeError(error) });
  }
}

/** Keeps the file as the identity in use, until the signal aborts. */
export async function runCache(
  directory: string,
  held: HeldIdentities,
  { clock, log }: CertDeps,
  signal: AbortSignal,
): Promise<void> {
  await warnUnlessInMemory(directory, log);
  for await (const secret of held.default.watch(signal)) {
    if (secret.kind !== "certificate") continue;
    const { spiffeId, chainPem, keyPem } = secret;
    const { rootsPem } = held.roots;
    const acceptedMs = held.served?.acceptedMs ?? clock.now();
    const identity: CachedIdentity = { spiffeId, acceptedMs, chainPem, keyPem, rootsPem };
    try {
      makeDirectorySync(directory, 0o700);
      await assertPrivate(directory, 0o077);
      writeFileAtomicSync(fileFor(directory, spiffeId), JSON.stringify(identity), 0o600);
    } catch (error) {
      log.error("the identity cannot be cached", { directory, error: describeError(error) });
    }
  }
}

async function readCache(directory: string, path: string): Promise<CachedIdentity | undefined> {
  let text: string;
  try {
    await assertPrivate(directory, 0o077);
    await assertPrivate(path, 0o177);
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  return parseCache(path, text);
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

/** The engine's words on what is no JSON are left out: they may quote the key. */
function parseObject(path: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // as for another kind of value
  }
  throw new IdentityCacheError(path, "it is not a JSON object");
}

/** @param forbidden bits that the mode must not have */
async function assertPrivate(path: string, forbidden: number): Promise<void> {
  const status = await lstat(path);
  if (status.isSymbolicLink()) throw new IdentityCacheError(path, "it is a symbolic link; name the real place");
  if ((status.mode & forbidden) !== 0) throw new IdentityCacheError(path, "others have rights to it; make it private");
  const uid = process.getuid?.();
  if (uid !== undefined && status.uid !== uid) throw new IdentityCacheError(path, "it belongs to another user");
}

async function warnUnlessInMemory(directory: string, log: CertDeps["log"]): Promise<void> {
  try {
    makeDirectorySync(directory, 0o700);
  } catch {
    // told when an identity is to be written
  }
  const found = await statfs(directory).catch(() => undefined);
  if (found === undefined || memoryFileSystems.has(found.type)) return;
  log.warn("the identity cache is on a disk; keys should only be kept in memory: use a tmpfs", { directory });
}
