// SPDX-License-Identifier: Apache-2.0
import type { Sources } from "../sources/sources.ts";

/** The protocols in which a certificate can be asked for. */
export const caKinds = ["istio", "vault", "step", "kubernetes-csr", "embedded"] as const;

export type CaKind = (typeof caKinds)[number];

/** What `ATTACHE_IDENTITY` asks for: files, the SPIFFE Workload API, CAs in order of preference, or nothing. */
export function identityChoice({
  env,
  findings,
}: Pick<Sources, "env" | "findings">): "" | "files" | "spiffe" | readonly CaKind[] {
  const text = env.string("ATTACHE_IDENTITY");
  if (text === "" || text === "files" || text === "spiffe") return text;
  const names = text.split(",").map((name) => name.trim());
  const kinds = names.flatMap((name) => caKinds.filter((kind) => kind === name));
  if (kinds.length === names.length && new Set(kinds).size === kinds.length) return kinds;
  findings.problem(
    "ATTACHE_IDENTITY",
    `${JSON.stringify(text)} is none of files, spiffe and ${caKinds.join(", ")}; several CAs go with commas between, each once`,
  );
  return kinds;
}
