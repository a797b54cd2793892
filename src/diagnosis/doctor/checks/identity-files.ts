// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject } from "node:crypto";
import { stat } from "node:fs/promises";
import type { AgentConfig } from "../../../config/index.ts";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { readTextFile } from "../../../lib/fs/bounded-read.ts";
import { isExpired, issuerOf, leadsTo, nameOf, parseCertificates, validityOf, validityText } from "../certificates.ts";
import { type Check, fail, type Finding, ok, warn } from "../check.ts";

const name = "identity-files";

/** Certificate, key and roots in files: the workload's own, and the pair that is presented to CA and control plane. */
export const identityFilesCheck: Check = {
  name,
  needsEnvironment: true,
  async run({ config, clock }) {
    const sets = fileSets(config);
    return (await Promise.all(sets.map((files) => checkSet(files, clock.now())))).flat();
  },
};

interface FileSet {
  readonly chainPath: string;
  readonly keyPath: string;
  readonly rootsPath: string | undefined;
  /** False: a token does as well, so what is wrong is a warning. */
  readonly isNeeded: boolean;
}

function fileSets({ identity, cert, ca, xds }: AgentConfig): readonly FileSet[] {
  const sets: FileSet[] = [];
  if (identity.kind === "mounted-files") sets.push({ ...identity, isNeeded: true });
  if (cert.provisioned !== undefined) sets.push({ ...cert.provisioned, isNeeded: false });
  const securities = [
    ...(ca.kind === "istio" && identity.kind === "ca" ? [ca.security] : []),
    ...(xds.kind === "ads" ? [xds.proxy.upstream.security] : []),
  ];
  for (const security of securities) {
    const client = security.kind === "tls" ? security.client : undefined;
    if (client !== undefined) sets.push({ ...client, rootsPath: undefined, isNeeded: false });
  }
  return [...new Map(sets.toReversed().map((set) => [set.chainPath, set])).values()].toReversed();
}

async function checkSet(files: FileSet, nowMs: number): Promise<readonly Finding[]> {
  const report = files.isNeeded ? fail : warn;
  const texts = await Promise.all([files.chainPath, files.keyPath, files.rootsPath].map(readOrProblem));
  const problems = texts.flatMap((text) => (text !== undefined && "problem" in text ? [text.problem] : []));
  if (problems.length > 0) {
    return [report(name, problems.join("; "), "Mount the three files, readable for the agent's user.")];
  }
  const [chain = "", key = "", roots] = texts.map((text) =>
    text !== undefined && "text" in text ? text.text : undefined,
  );
  const problem = judge(files, { chain, key, roots }, nowMs);
  if (problem !== undefined) return [report(name, problem.fact, problem.cure)];
  const loose = await looseMode(files.keyPath);
  if (loose !== undefined) return [warn(name, loose, "Restrict the key to the agent's user: mode 0600 or 0640.")];
  const [leaf] = parseCertificates(chain).certificates;
  const fact = leaf === undefined ? "" : `${leaf.subjectAltName ?? nameOf(leaf)} ${validityText(leaf, nowMs)}`;
  return [ok(name, `${files.chainPath}: ${fact}, and the key belongs to it`)];
}

async function readOrProblem(
  path: string | undefined,
): Promise<{ readonly text: string } | { readonly problem: string } | undefined> {
  if (path === undefined) return undefined;
  try {
    return { text: await readTextFile(path) };
  } catch (error) {
    const why = systemCode(error) === "ENOENT" ? "does not exist" : `cannot be read: ${describeError(error)}`;
    return { problem: `${path} ${why}` };
  }
}

interface Texts {
  readonly chain: string;
  readonly key: string;
  /** Undefined: not given. */
  readonly roots: string | undefined;
}

function judge(
  { chainPath, keyPath, rootsPath = "" }: FileSet,
  texts: Texts,
  nowMs: number,
): { readonly fact: string; readonly cure: string } | undefined {
  const chain = parseCertificates(texts.chain);
  const [leaf] = chain.certificates;
  const replace = "Replace the files by a complete set: certificate chain, its key, and the roots.";
  if (leaf === undefined)
    return { fact: `${chainPath} has no certificate: ${chain.problem ?? "no PEM block"}`, cure: replace };
  const key = parseKey(texts.key);
  if (key === undefined)
    return { fact: `${keyPath} has no private key that can be read without a password`, cure: replace };
  if (!leaf.checkPrivateKey(key)) {
    return { fact: `the key in ${keyPath} does not belong to the certificate in ${chainPath}`, cure: replace };
  }
  if (isExpired(leaf, nowMs) || validityOf(leaf)[0] > nowMs) {
    const cure = "Renew it where it comes from; if it should be valid, compare the clocks: see clock.";
    return { fact: `the certificate in ${chainPath} ${validityText(leaf, nowMs)}`, cure };
  }
  if (texts.roots === undefined) return undefined;
  const roots = parseCertificates(texts.roots);
  if (roots.certificates.length === 0) {
    return { fact: `${rootsPath} has no certificate: ${roots.problem ?? "no PEM block"}`, cure: replace };
  }
  if (leadsTo(chain.certificates, roots.certificates)) return undefined;
  return {
    fact: `the certificate in ${chainPath}, issued by ${issuerOf(leaf)}, leads to no root in ${rootsPath}`,
    cure: replace,
  };
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

/** Mounted Secrets have links; the file behind them counts. */
async function looseMode(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || (found.mode & 0o007) === 0) return undefined;
  const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
  return `every user can read the key ${path}: mode ${mode}`;
}
