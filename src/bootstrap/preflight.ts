// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, isJsonObject, parseJson } from "../lib/json.ts";
import { renderBootstrap } from "./bootstrap.ts";
import type { SchemaFinding } from "./schema-check.ts";
import type { GeneratedBootstrap } from "./start-files.ts";

export interface PreflightInput {
  readonly bootstrap: ({ readonly kind: "generated" } & GeneratedBootstrap) | { readonly kind: "file" };
  readonly envoy: { readonly args: readonly string[] };
}

/** A finding, and its document. */
export interface PreflightFinding extends SchemaFinding {
  readonly document: "bootstrap" | "override";
}

/**
 * Checks the generated bootstrap, and the override that Envoy merges over it, against Envoy's API. Loads the schema:
 * to be called after Envoy's exec.
 */
export async function preflightBootstrap({ bootstrap, envoy }: PreflightInput): Promise<readonly PreflightFinding[]> {
  const { checkBootstrapSchema } = await import("./schema-check.ts");
  const findings: PreflightFinding[] = [];
  const check = (document: PreflightFinding["document"], value: JsonObject): void => {
    for (const finding of checkBootstrapSchema(value)) findings.push({ ...finding, document });
  };
  if (bootstrap.kind === "generated") check("bootstrap", renderBootstrap(bootstrap.config));
  const place = envoy.args.indexOf("--config-yaml");
  const text = place < 0 ? undefined : envoy.args[place + 1];
  const parts = bootstrap.kind === "generated" ? bootstrap.override : text === undefined ? undefined : parseJson(text);
  if (isJsonObject(parts)) check("override", parts);
  return findings;
}
