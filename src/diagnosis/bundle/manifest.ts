// SPDX-License-Identifier: Apache-2.0
import { revision, version } from "../../model/version.ts";
import type { PartStatus } from "./collect.ts";

/** A part in the manifest. */
export interface ManifestPart {
  readonly file: string;
  readonly about: string;
  readonly source: string;
  readonly status: PartStatus;
  /** Why it is missing or not complete. */
  readonly reason?: string;
  readonly bytes: number;
  readonly seconds: number;
  /** How many values were removed, by kind. Never the values. */
  readonly removed: Readonly<Record<string, number>>;
}

export interface Manifest {
  readonly format: "attache-bundle/1";
  readonly createdAt: string;
  readonly attache: { readonly version: string; readonly revision: string };
  /** The pod or machine. */
  readonly subject: string;
  readonly agent: { readonly address: string; readonly responded: boolean };
  readonly seconds: number;
  readonly maxBytes: number;
  readonly removed: Readonly<Record<string, number>>;
  readonly parts: readonly ManifestPart[];
}

export interface ManifestFacts {
  readonly nowMs: number;
  readonly subject: string;
  readonly agentAddress: string;
  readonly durationMs: number;
  readonly maxBytes: number;
  readonly parts: readonly ManifestPart[];
}

export function createManifest({ nowMs, subject, agentAddress, durationMs, maxBytes, parts }: ManifestFacts): Manifest {
  const removed: Record<string, number> = {};
  for (const [kind, count] of parts.flatMap((part) => Object.entries(part.removed))) {
    removed[kind] = (removed[kind] ?? 0) + count;
  }
  const responded = parts.some(({ file, bytes }) => file.startsWith("agent/") && bytes > 0);
  return {
    format: "attache-bundle/1",
    createdAt: new Date(nowMs).toISOString(),
    attache: { version, revision },
    subject,
    agent: { address: agentAddress, responded },
    seconds: roundSeconds(durationMs),
    maxBytes,
    removed,
    parts,
  };
}

export function roundSeconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}

const kinds: Readonly<Record<string, string>> = {
  authorization: "credentials behind Bearer, Basic and the like",
  header: "values of headers that are not known to be harmless",
  "inline-data": "text and bytes in the configuration that are no certificate: bodies, scripts, key sets",
  "known-secret": "values that are secret elsewhere, in any encoding",
  "private-key": "private keys",
  "secret-name": "values whose name says that they are secret",
  "too-long": "values and lines that are too long to be looked through",
  token: "tokens that are recognised by their form",
  "unknown-variable": "variables, metadata and annotations that are not known to be harmless",
  "url-credentials": "users and passwords in URLs",
};

/** README.txt: what a person reads first. */
export function renderReadme({ createdAt, attache, subject, agent, removed, parts }: Manifest): string {
  // what went wrong first, then what is not there
  const missing = ["failed", "cut", "skipped"].flatMap((kind) => parts.filter(({ status }) => status === kind));
  const width = Math.max(...parts.map(({ file }) => file.length));
  const counts = Object.entries(removed).map(
    ([kind, count]) => `  ${String(count).padStart(6)}  ${kinds[kind] ?? kind}\n`,
  );
  return [
    `Diagnosis of ${subject}, made by attache ${attache.version} (revision ${attache.revision}) at ${createdAt}.`,
    `The agent at ${agent.address} ${agent.responded ? "responded" : "did not respond"}.\n`,
    "Before you share it\n",
    "  Secrets have been replaced by [redacted]. What is kept on purpose: names of services, hosts, namespaces and",
    "  accounts, IP addresses, certificates without keys, routes and their paths, names of variables and headers.",
    "  Look through envoy/config_dump.json and logs/ if such names are confidential.\n",
    "Removed\n",
    counts.join("") || "  nothing\n",
    "Files\n",
    parts
      .filter(({ bytes }) => bytes > 0)
      .map(({ file, about, bytes }) => `  ${file.padEnd(width)}  ${String(bytes).padStart(10)} bytes  ${about}\n`)
      .join(""),
    "Missing or not complete\n",
    missing.map(({ file, status, reason = "" }) => `  ${file.padEnd(width)}  ${status}: ${reason}\n`).join("") ||
      "  nothing\n",
    "MANIFEST.json has the same for programs, with the source and the time of each part.\n",
  ].join("\n");
}
