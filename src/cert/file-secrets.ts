// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { describeError, systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { splitPem } from "../lib/pki/pem.ts";
import type { Budgets } from "../model/limits.ts";
import type { Secret } from "../model/secret.ts";
import { type FileFollowOptions, type FollowedFiles, followFiles, readText, readTexts } from "./cert-files.ts";
import { CertFileError, ResponseError } from "./errors.ts";
import { secretContent } from "./held-identities.ts";
import { findLoadProblem } from "./path-validation.ts";
import { readRoots } from "./read-certificate.ts";
import { checkPair } from "./response-check.ts";

/** A secret in files. The paths are absolute, and were checked against the allowed directories. */
export type FileSecretName =
  | { readonly kind: "file-certificate"; readonly chainPath: string; readonly keyPath: string }
  | { readonly kind: "file-roots"; readonly path: string }
  | { readonly kind: "system-roots" };

export interface FileSecretsDeps extends FileFollowOptions {
  readonly log: Logger;
  readonly metrics: FileSecretsMetrics;
}

export interface FileSecretsMetrics {
  /** The files of a secret were not usable. */
  fileSecretFailed(): void;
}

/** Secrets read from files, as they change. While a file is not usable, the previous content stays in use. */
export interface FileSecrets {
  /**
   * Yields the secret as soon as there is one, then each new content, until the signal aborts.
   * @throws CertFileError for `system-roots` on a system without a bundle
   */
  watch(name: FileSecretName, signal: AbortSignal): AsyncIterable<Secret>;
}

/** Where systems keep their roots; the first that exists is used. Source: the places that Go's crypto/x509 knows */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/usr/local/etc/ssl/cert.pem",
  "/etc/ssl/certs/ca-certificates",
];

/** Follows the files of each watched name, for as long as it is watched. */
export function createFileSecrets(deps: FileSecretsDeps, bundles: readonly string[] = systemBundles): FileSecrets {
  const { budgets } = deps;
  const read = (paths: readonly string[]): Promise<readonly string[]> => readTexts(paths, budgets);
  return {
    watch(name, signal) {
      if (name.kind === "file-certificate") {
        const parse = (texts: readonly string[]): Secret => parsePair(texts, budgets);
        return usableOnly({ paths: [name.chainPath, name.keyPath], read, parse }, deps, signal);
      }
      const path = name.kind === "file-roots" ? name.path : findBundle(bundles);
      const parse = ([text = ""]: readonly string[]): Secret => parseBundle(path, text, deps);
      return usableOnly({ paths: [path], read, parse }, deps, signal);
    },
  };
}

function findBundle(bundles: readonly string[]): string {
  const path = bundles.find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new CertFileError("the system's roots", "this system has no root bundle; name a file");
}

async function* usableOnly(
  files: FollowedFiles<Secret>,
  deps: FileSecretsDeps,
  signal: AbortSignal,
): AsyncGenerator<Secret, void, undefined> {
  let last: string | undefined;
  const { paths } = files;
  using outage = new OutageLog(deps.log, deps.clock, { recovered: "certificate file usable again" });
  for await (const read of followFiles(files, deps, signal)) {
    if ("error" in read) {
      deps.metrics.fileSecretFailed();
      const error = describeError(read.error);
      const message = "certificate file not usable; keeping the previous content";
      outage.failed({ level: "warn", message, kind: error, fields: { paths, error } });
      continue;
    }
    outage.works({ paths });
    const content = secretContent(read.value);
    if (content === last) continue;
    last = content;
    yield read.value;
  }
}

/** Whom the certificate is for, and which peers verify it, is not known here: only what Envoy would not load is an error. */
function parsePair([chainPem = "", keyPem = ""]: readonly string[], budgets: Budgets): Secret {
  const { leaf, spiffeId } = checkPair(chainPem, keyPem, budgets);
  const problem = findLoadProblem(leaf.x509.raw);
  if (problem !== undefined) throw new ResponseError("invalid-path", `the certificate ${problem}`);
  const { notBeforeMs, notAfterMs } = leaf;
  return { kind: "certificate", chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs };
}

function parseBundle(path: string, text: string, { log, budgets }: FileSecretsDeps): Secret {
  const roots = readRoots(text, budgets.of("ca-roots"));
  if (roots.length === 0) throw new CertFileError(path, "it has no certificate that can be parsed");
  const given = text.split("-----BEGIN ").length - 1;
  if (given > roots.length) {
    log.warn("root bundle has unreadable parts; skipping them", { path, given, readable: roots.length });
  }
  return { kind: "trust-bundle", rootsPem: roots.map((root) => root.pem).join("") };
}

/**
 * The revocation list in a file, as PEM; undefined while there is no file, or an empty one, which istiod mounts where
 * nothing is revoked. Yields at once and after each change. A file that is not a revocation list is reported, and the
 * previous list stays in force.
 */
export async function* watchRevocationList(
  path: string,
  deps: FileFollowOptions & { readonly log: Logger },
  signal: AbortSignal,
): AsyncGenerator<string | undefined, void, undefined> {
  let isFirst = true;
  using outage = new OutageLog(deps.log, deps.clock, { recovered: "revocation list usable again" });
  const parse = ([text]: readonly string[]): string | undefined => parseRevocationList(path, text);
  const readList = (): Promise<readonly string[]> => readIfPresent(path, deps.budgets);
  for await (const read of followFiles({ paths: [path], read: readList, parse }, deps, signal)) {
    if ("value" in read) {
      outage.works({ path });
      yield read.value;
    } else {
      const error = describeError(read.error);
      const message = "revocation list not usable; keeping the previous one";
      outage.failed({ level: "error", message, kind: error, fields: { error } });
      if (isFirst) yield undefined;
    }
    isFirst = false;
  }
}

/** No text when there is no file. */
async function readIfPresent(path: string, budgets: Budgets): Promise<readonly string[]> {
  try {
    return [await readText(path, budgets)];
  } catch (error) {
    const code = error instanceof Error ? systemCode(error.cause) : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

function parseRevocationList(path: string, text: string | undefined): string | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const { blocks, problem } = splitPem(text);
  if (problem !== undefined || blocks.length === 0 || blocks.some((block) => block.label !== "X509 CRL")) {
    const text = `it is not a revocation list: ${problem ?? "it must have X509 CRL blocks and no others"}`;
    throw new CertFileError(path, text);
  }
  return blocks.map((block) => block.pem).join("");
}
