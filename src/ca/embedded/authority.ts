// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { linkSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "../../lib/fs/atomic-file.ts";
import { AgentError, systemCode } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { makeDirectorySync } from "../../lib/fs/make-directory.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import { type Issuer, issueRoot } from "./certificates.ts";

/** The embedded CA's root with its key, and the key that signs tokens. */
export interface Authority {
  readonly issuer: Issuer;
  readonly rootPem: string;
  readonly rootNotAfterMs: number;
  readonly tokenKey: KeyObject;
}

/** The directory or the port of the embedded CA cannot be used. */
export class AuthorityError extends AgentError {
  readonly code = "AGENT_EMBEDDED_CA";
  override readonly exitCode = exitCode.unavailable;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`use the embedded CA's root in ${path}: ${problem}`, { cause });
  }
}

const rootName = "attache development CA";
const rootLifeMs = 10 * 365 * 24 * 3_600_000;
const backdateMs = 60 * 60_000;

/**
 * Reads the root and the keys from `authority.pem` in the folder, or creates them: one file of mode 0600, created in
 * one step, so that two processes that start at once share one root. `root-cert.pem` beside it has the certificate.
 * @throws AuthorityError
 */
export function openAuthority(directory: string, nowMs: number): Authority {
  const path = join(directory, "authority.pem");
  try {
    makeDirectorySync(directory, 0o700);
    const text = readIfThere(path) ?? createFile(path, nowMs);
    const authority = parseAuthority(text);
    writeFileAtomicSync(join(directory, "root-cert.pem"), authority.rootPem, 0o644);
    return authority;
  } catch (error) {
    throw new AuthorityError(
      path,
      "it cannot be read or created; remove it to create a new one, or choose another directory",
      error,
    );
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function createFile(path: string, nowMs: number): string {
  const draft = `${path}.${String(process.pid)}.draft`;
  writeFileAtomicSync(draft, renderAuthority(nowMs), 0o600);
  try {
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return readFileSync(path, "utf8");
}

function renderAuthority(nowMs: number): string {
  const [rootKey, tokenKey] = [0, 1].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  if (rootKey === undefined || tokenKey === undefined) throw new Error("no keys");
  const rootPem = issueRoot({ name: rootName, privateKey: rootKey }, nowMs - backdateMs, nowMs + rootLifeMs);
  const keys = [rootKey, tokenKey].map((key) => key.export({ type: "pkcs8", format: "pem" }));
  return [rootPem, ...keys].join("");
}

function parseAuthority(text: string): Authority {
  const [root, rootKey, tokenKey] = splitPem(text).blocks;
  if (root === undefined || rootKey === undefined || tokenKey === undefined) throw new Error("it is not complete");
  const certificate = new X509Certificate(root.der);
  const issuer: Issuer = { name: rootName, privateKey: createPrivateKey(rootKey.pem) };
  if (!certificate.checkPrivateKey(issuer.privateKey)) throw new Error("the key does not belong to the certificate");
  return {
    issuer,
    rootPem: root.pem,
    rootNotAfterMs: Date.parse(certificate.validTo),
    tokenKey: createPrivateKey(tokenKey.pem),
  };
}
