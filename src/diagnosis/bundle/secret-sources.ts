// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type AgentConfig, rootPath, tokenPath } from "../../config/index.ts";
import { readTextStart } from "../../lib/fs/bounded-read.ts";
import type { KnownSecrets } from "../redaction/known-secrets.ts";
import { redactLines } from "../redaction/line-redactor.ts";
import { Removals } from "../redaction/removals.ts";
import { isPath, isSecretName } from "../redaction/secret-names.ts";

const mostFileBytes = 256 * 1024;
const mostFiles = 50;

const usualTokens = [tokenPath, "/var/run/secrets/kubernetes.io/serviceaccount/token"];

/**
 * Reads the secrets that this process can know, so that they are found wherever they stand: tokens, keys, variables with the
 * name of a secret. Nothing of it is kept in the archive. Files that cannot be read are skipped.
 */
export async function readKnownSecrets(
  env: Readonly<Record<string, string>>,
  config: AgentConfig,
  secrets: KnownSecrets,
): Promise<void> {
  const learning = new Removals((secret) => {
    secrets.learn(secret);
  });
  for (const [name, value] of Object.entries(env)) {
    if (isSecretName(name) && !isPath(value)) secrets.add(value);
    // documents and addresses
    redactLines(value, learning);
  }
  for (const path of await secretFiles(env, config)) {
    const text = await readTextStart(path, mostFileBytes).catch(() => "");
    if (text.includes("PRIVATE KEY")) addKey(text, secrets);
    else if (/\.(?:ya?ml|json|conf)$/.test(path) || text.includes(": ")) redactLines(text, learning);
    else if (!text.includes("-----BEGIN")) secrets.add(text);
  }
}

/** Each line of a PEM key, and its secret number. */
function addKey(pem: string, secrets: KnownSecrets): void {
  secrets.add(pem);
  try {
    const { d = "" } = createPrivateKey(pem).export({ format: "jwk" });
    const number = Buffer.from(d, "base64url");
    for (const form of [d, number.toString("base64"), number.toString("hex")]) secrets.add(form);
  } catch {
    // an encrypted key, or none: its lines are known
  }
}

/** Variables that name a file with secrets. */
const secretFileName = /TOKEN|SECRET|_KEY|PASSW|CRED|AUTH|OVERRIDE|KUBECONFIG/;

/** Files with tokens and keys, by the configuration and by the names of variables. */
async function secretFiles(env: Readonly<Record<string, string>>, config: AgentConfig): Promise<readonly string[]> {
  const { identity, cert } = config;
  const named = Object.entries(env).filter(([name, value]) => secretFileName.test(name) && isPath(value));
  const directories = [cert.output?.directory, cert.cacheDirectory, env["ATTACHE_EMBEDDED_CA_DIR"]];
  const listed = await Promise.all(
    directories.map(async (path) => (path === undefined || path === "" ? [] : await filesIn(path))),
  );
  const mounted = [
    ...(identity.kind === "mounted-files" ? [identity.keyPath] : []),
    ...(cert.provisioned === undefined ? [] : [cert.provisioned.keyPath]),
  ];
  const override = env["ISTIO_BOOTSTRAP_OVERRIDE"] ?? "";
  const overrides = override === "" ? [] : [override];
  const paths = [...usualTokens, ...mounted, ...overrides, ...named.map(([, value]) => value), ...listed.flat()];
  return [...new Set(paths)].filter((path) => path !== rootPath).slice(0, mostFiles);
}

async function filesIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(directory, entry.name));
}
