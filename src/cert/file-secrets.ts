// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { Secret } from "../model/secret.ts";
import { CertFileError, type FileFollowOptions, type FollowedFiles, followFiles, readTexts } from "./cert-files.ts";
import { checkPair, readRoots } from "./providing.ts";

/** A secret that stands in files; the paths are absolute, and were found to be allowed. */
export type FileSecretName =
  | { readonly kind: "file-certificate"; readonly chainPath: string; readonly keyPath: string }
  | { readonly kind: "file-roots"; readonly path: string }
  | { readonly kind: "system-roots" };

export interface FileSecretsDeps extends FileFollowOptions {
  readonly log: Logger;
  readonly metrics: FileSecretsMetrics;
}

export interface FileSecretsMetrics {
  /** A file secret could not be made. */
  fileSecretFailed(): void;
}

/** Secrets made of files, as they change. While a file cannot be used the last good content stays in use. */
export interface FileSecrets {
  /**
   * Yields the secret as soon as there is one, then every other content of it, until the signal aborts.
   * @throws CertFileError for `system-roots` on a system without a bundle
   */
  watch(name: FileSecretName, signal: AbortSignal): AsyncIterable<Secret>;
}

/** Where systems keep their roots; the first that exists counts. Source: the places that Go's crypto/x509 knows */
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

/** Follows the files of each name that is watched, for as long as it is watched. */
export function createFileSecrets(deps: FileSecretsDeps, bundles: readonly string[] = systemBundles): FileSecrets {
  return {
    watch(name, signal) {
      if (name.kind === "file-certificate") {
        return goodOnes({ paths: [name.chainPath, name.keyPath], read: readTexts, parse: parsePair }, deps, signal);
      }
      const path = name.kind === "file-roots" ? name.path : findBundle(bundles);
      const parse = ([text = ""]: readonly string[]): Secret => parseBundle(path, text, deps.log);
      return goodOnes({ paths: [path], read: readTexts, parse }, deps, signal);
    },
  };
}

function findBundle(bundles: readonly string[]): string {
  const path = bundles.find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new CertFileError("the system's roots", "there is no bundle on this system; name a file");
}

async function* goodOnes(
  files: FollowedFiles<Secret>,
  deps: FileSecretsDeps,
  signal: AbortSignal,
): AsyncGenerator<Secret, void, undefined> {
  let last: string | undefined;
  for await (const result of followFiles(files, deps, signal)) {
    if ("error" in result) {
      deps.metrics.fileSecretFailed();
      const error = describeError(result.error);
      deps.log.warn("a certificate file cannot be used; the last good content stays", { paths: files.paths, error });
      continue;
    }
    const content = contentOf(result.value);
    if (content === last) continue;
    last = content;
    yield result.value;
  }
}

function parsePair([chainPem = "", keyPem = ""]: readonly string[]): Secret {
  const { leaf, spiffeId } = checkPair(chainPem, keyPem);
  const { notBeforeMs, notAfterMs } = leaf;
  return { kind: "certificate", chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs };
}

function parseBundle(path: string, text: string, log: Logger): Secret {
  const roots = readRoots(text);
  if (roots.length === 0) throw new CertFileError(path, "there is no certificate in it that can be read");
  const given = text.split("-----BEGIN ").length - 1;
  if (given > roots.length) {
    log.warn("part of a root bundle cannot be read and is left out", { path, given, readable: roots.length });
  }
  return { kind: "trust-bundle", rootsPem: roots.map((root) => root.pem).join("") };
}

function contentOf(secret: Secret): string {
  return secret.kind === "certificate" ? secret.chainPem + secret.keyPem : secret.rootsPem;
}
