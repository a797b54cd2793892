// SPDX-License-Identifier: Apache-2.0
import { istioVersion, revision, version } from "../model/version.ts";
import { readEnvoyVersion } from "./envoy-version.ts";

/** What runs here, and which protocols it speaks. */
export interface Versions {
  readonly attache: { readonly version: string; readonly revision: string };
  /** `version` is absent where the binary cannot be run; `problem` says why. */
  readonly envoy: {
    readonly path: string;
    readonly version?: string;
    readonly build?: string;
    readonly problem?: string;
  };
  readonly node: { readonly version: string; readonly v8: string; readonly openssl: string };
  /** The pilot-agent that attache replaces: the version that control planes see. */
  readonly istio: string;
  readonly protocols: readonly string[];
}

const protocols = [
  "xDS v3 (ADS, state of the world and delta)",
  "SDS v3",
  "Istio CA v1",
  "SPIFFE Workload API",
  "gRPC health v1",
];

/** @param envoyPath the Envoy that the agent would run in this environment; it is run, to ask for its version */
export async function readVersions(envoyPath: string, signal: AbortSignal): Promise<Versions> {
  const { node, v8, openssl } = process.versions;
  return {
    attache: { version, revision },
    envoy: await envoyOf(envoyPath, signal),
    node: { version: node, v8, openssl },
    istio: istioVersion,
    protocols,
  };
}

async function envoyOf(path: string, signal: AbortSignal): Promise<Versions["envoy"]> {
  const found = await readEnvoyVersion(path, signal);
  switch (found.kind) {
    case "known":
      return { path, version: found.version, build: found.build };
    case "missing":
      return { path, problem: "not found" };
    case "unknown":
      return { path, problem: found.problem };
  }
}

/** One line for each. */
export function renderVersions({ attache, envoy, node, istio, protocols: spoken }: Versions): string {
  const rows = [
    ["attache", `${attache.version} (revision ${attache.revision})`],
    [
      "Envoy",
      envoy.version === undefined ? `${envoy.problem ?? ""}: ${envoy.path}` : `${envoy.version} (${envoy.path})`,
    ],
    ["Node.js", `${node.version} (V8 ${node.v8}, OpenSSL ${node.openssl})`],
    ["Istio", `${istio} (the version that control planes see)`],
    ["protocols", spoken.join(", ")],
  ] as const;
  return rows.map(([name, text]) => `${name.padEnd(9)}  ${text}\n`).join("");
}
