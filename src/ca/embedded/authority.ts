// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, linkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "../../lib/fs/atomic-file.ts";
import { AgentError, systemCode } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { makeDirectorySync } from "../../lib/fs/make-directory.ts";
import {
  assertPrivateDirectorySync,
  NotPrivateError,
  othersMayWrite,
  readPrivateFileSync,
} from "../../lib/fs/private-file.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import { type Issuer, issueRoot } from "./certificates.ts";

/** The embedded CA's root with its key, and the key that signs tokens. */
export interface Authority {
  readonly issuer: Issuer;
  readonly rootPem: string;
  readonly rootNotBeforeMs: number;
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
const dayMs = 24 * 3_600_000;
const rootLifeMs = 10 * 365 * dayMs;
/** A machine's clock may be days ahead when the root is made, and be set right later. */
const backdateMs = 365 * dayMs;

/**
 * Reads the root and the keys from `authority.pem` in the directory, or creates them: one file of mode 0600, created in
 * one step, so that two processes that start at once share one root. `root-cert.pem` beside it has the certificate. A root
 * that is not valid now is issued again for the same key, so that what it has signed stays valid.
 * @throws AuthorityError, also when other users can write the directory, or access the file
 */
export function openAuthority(directory: string, nowMs: number): Authority {
  const path = join(directory, "authority.pem");
  try {
    makeDirectorySync(directory, 0o700);
    assertPrivateDirectorySync(directory, othersMayWrite);
    const authority = readAuthority(path, nowMs);
    writeFileAtomicSync(join(directory, "root-cert.pem"), authority.rootPem, 0o644);
    return authority;
  } catch (error) {
    const problem =
      error instanceof NotPrivateError
        ? "it is not private; make it so, or choose another directory"
        : "it cannot be read or created; remove it to create a new one, or choose another directory";
    throw new AuthorityError(path, problem, error);
  }
}

/** As `openAuthority`, but never creates one. @throws AuthorityError when there is none */
export function readExistingAuthority(directory: string, nowMs: number): Authority {
  const path = join(directory, "authority.pem");
  if (!existsSync(path))
    throw new AuthorityError(path, "there is none; start it with `attache ca`, or give its --directory");
  return openAuthority(directory, nowMs);
}

function createFile(path: string, nowMs: number): string {
  const draft = `${path}.${String(process.pid)}.draft`;
  const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  writeFileAtomicSync(draft, renderAuthority(newKey(), newKey(), nowMs), 0o600);
  try {
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const text = readPrivateFileSync(path);
  if (text === undefined) throw new Error("it was removed meanwhile");
  return text;
}

function readAuthority(path: string, nowMs: number): Authority {
  const authority = parseAuthority(readPrivateFileSync(path) ?? createFile(path, nowMs));
  if (authority.rootNotBeforeMs <= nowMs && authority.rootNotAfterMs > nowMs) return authority;
  const { issuer, tokenKey } = authority;
  const text = renderAuthority(issuer.privateKey, tokenKey, nowMs);
  writeFileAtomicSync(path, text, 0o600);
  return parseAuthority(text);
}

function renderAuthority(rootKey: KeyObject, tokenKey: KeyObject, nowMs: number): string {
  const rootPem = issueRoot({ name: rootName, privateKey: rootKey }, nowMs - backdateMs, nowMs + rootLifeMs);
  return [rootPem, ...[rootKey, tokenKey].map((key) => key.export({ type: "pkcs8", format: "pem" }))].join("");
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
    rootNotBeforeMs: Date.parse(certificate.validFrom),
    rootNotAfterMs: Date.parse(certificate.validTo),
    tokenKey: createPrivateKey(tokenKey.pem),
  };
}
