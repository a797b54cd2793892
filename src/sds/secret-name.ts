// SPDX-License-Identifier: Apache-2.0
import { resolve, sep } from "node:path";
import type { Budget } from "../lib/budget.ts";
import { AgentError } from "../lib/errors.ts";

/** A parsed resource name that this server serves. `text` is the name in request and response. */
export type SecretName =
  | { readonly kind: "workload-certificate"; readonly text: "default" }
  | { readonly kind: "trust-bundle"; readonly text: "ROOTCA" }
  | { readonly kind: "spiffe-certificate"; readonly text: string }
  | { readonly kind: "spiffe-roots"; readonly text: string; readonly trustDomain: string }
  | { readonly kind: "all-roots"; readonly text: "ALL" }
  | { readonly kind: "file-certificate"; readonly text: string; readonly chainPath: string; readonly keyPath: string }
  | { readonly kind: "file-roots"; readonly text: string; readonly path: string }
  | { readonly kind: "system-roots"; readonly text: "file-root:system" };

/** A name that is never served. */
export class SecretNameError extends AgentError {
  readonly code = "AGENT_SECRET_NAME";
  readonly problem: "unknown" | "malformed" | "forbidden";
  /** What to request instead, or from which server. */
  readonly hint: string;
  constructor(text: string, problem: SecretNameError["problem"], hint: string) {
    super(`serve secret ${quoted(text)}: ${problem} name; ${hint}`);
    this.problem = problem;
    this.hint = hint;
  }
}

const served =
  "this server serves default, ROOTCA, file-cert:CHAIN~KEY, file-root:PATH, file-root:system, and as SPIRE does ALL, spiffe://TRUST_DOMAIN and SPIFFE IDs";
const controlPlaneSchemes = ["kubernetes", "kubernetes-gateway", "configmap", "builtin", "sds", "invalid"];

/**
 * Parses a resource name. The set is closed: a name that has none of these forms is rejected, so that a misspelt name
 * never gets the workload's key. Relative paths are resolved from the working directory.
 * @param nameBytes limits the name
 * @throws SecretNameError
 * Source: istio security/pkg/nodeagent/cache and pkg/security (names and their forms); SPIRE's agent for those of SPIFFE
 */
export function parseSecretName(text: string, nameBytes?: Budget): SecretName {
  if (text === "default") return { kind: "workload-certificate", text };
  if (text === "ROOTCA") return { kind: "trust-bundle", text };
  if (text === "file-root:system") return { kind: "system-roots", text };
  if (text === "ALL") return { kind: "all-roots", text };
  if (nameBytes?.admits(text.length) === false) throw new SecretNameError(text, "malformed", nameBytes.text);
  if (text.includes("\0")) throw new SecretNameError(text, "malformed", "it has a zero byte");
  if (text.startsWith("spiffe://")) return parseSpiffeName(text);
  if (text.startsWith("file-cert:")) return parseFileCertificate(text);
  if (text.startsWith("file-root:")) return parseFileRoots(text);
  throw new SecretNameError(text, "unknown", hintFor(text));
}

function parseSpiffeName(text: string): SecretName {
  const [, trustDomain = "", path = ""] = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[a-zA-Z0-9._-]+)*)$/.exec(text) ?? [];
  if (trustDomain === "" || path.split("/").some((part) => part === "." || part === "..")) {
    throw new SecretNameError(
      text,
      "malformed",
      "write spiffe://TRUST_DOMAIN for roots, spiffe://TRUST_DOMAIN/PATH for a certificate",
    );
  }
  return path === "" ? { kind: "spiffe-roots", text, trustDomain } : { kind: "spiffe-certificate", text };
}

/** Whether it is a certificate of this workload. */
export function isOwnCertificate({ kind }: Pick<SecretName, "kind">): boolean {
  return kind === "workload-certificate" || kind === "spiffe-certificate";
}

/** Whether peers of this workload are verified with it. */
export function isOwnTrust({ kind }: Pick<SecretName, "kind">): boolean {
  return kind === "trust-bundle" || kind === "spiffe-roots" || kind === "all-roots";
}

function parseFileCertificate(text: string): SecretName {
  const [chain = "", key = "", ...rest] = text.slice("file-cert:".length).split("~");
  if (chain === "" || key === "" || rest.length > 0) {
    throw new SecretNameError(text, "malformed", "write file-cert:CHAIN~KEY, two paths with one ~ between them");
  }
  return { kind: "file-certificate", text, chainPath: resolve(chain), keyPath: resolve(key) };
}

function parseFileRoots(text: string): SecretName {
  const path = text.slice("file-root:".length);
  if (path === "" || path.includes("~")) {
    throw new SecretNameError(text, "malformed", "write file-root:PATH, one path without ~");
  }
  return { kind: "file-roots", text, path: resolve(path) };
}

/**
 * Returns the name unchanged when its files, if it has any, are below one of the directories. Paths are compared without
 * following links: whoever may write to those directories decides where links in them lead.
 * @throws SecretNameError
 */
export function checkSecretName(name: SecretName, fileDirectories: readonly string[]): SecretName {
  for (const path of filesOf(name)) {
    if (!fileDirectories.some((directory) => isBelow(path, directory))) {
      const allowed =
        fileDirectories.length === 0 ? "no directory is allowed" : `allowed are ${fileDirectories.join(", ")}`;
      throw new SecretNameError(name.text, "forbidden", `${path} is not below an allowed directory; ${allowed}`);
    }
  }
  return name;
}

function filesOf(name: SecretName): readonly string[] {
  if (name.kind === "file-certificate") return [name.chainPath, name.keyPath];
  return name.kind === "file-roots" ? [name.path] : [];
}

function isBelow(path: string, directory: string): boolean {
  const base = resolve(directory);
  return path.startsWith(base.endsWith(sep) ? base : base + sep);
}

function hintFor(text: string): string {
  const scheme = /^([a-z-]+):\/\//.exec(text)?.[1];
  if (scheme !== undefined && controlPlaneSchemes.includes(scheme)) {
    return `${scheme}:// is resolved by the control plane; request it over ADS; ${served}`;
  }
  const known = ["default", "ROOTCA", "ALL"].find((name) => name.toLowerCase() === text.trim().toLowerCase());
  return known === undefined ? served : `did you mean ${known}? ${served}`;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
