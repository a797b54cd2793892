// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../lib/json.ts";
import { renderBootstrap } from "./bootstrap.ts";
import type { SchemaFinding } from "./schema-check.ts";
import type { GeneratedBootstrap } from "./start-files.ts";

export interface PreflightInput {
  readonly bootstrap:
    | ({ readonly kind: "generated" } & GeneratedBootstrap)
    | { readonly kind: "merged"; readonly override: JsonObject }
    | { readonly kind: "file" };
}

/** A finding, and its document. */
export interface PreflightFinding extends SchemaFinding {
  readonly document: "bootstrap" | "override";
}

/**
 * Checks the generated bootstrap, and the override that is merged over it or over a custom one, against Envoy's API. Loads the schema:
 * to be called after Envoy's exec.
 */
export async function preflightBootstrap({ bootstrap }: PreflightInput): Promise<readonly PreflightFinding[]> {
  const { checkBootstrapSchema } = await import("./schema-check.ts");
  const findings: PreflightFinding[] = [];
  const check = (document: PreflightFinding["document"], value: JsonObject): void => {
    for (const finding of checkBootstrapSchema(value)) findings.push({ ...finding, document });
  };
  if (bootstrap.kind === "generated") check("bootstrap", renderBootstrap(bootstrap.config));
  if (bootstrap.kind !== "file" && bootstrap.override !== undefined) check("override", bootstrap.override);
  return findings;
}
