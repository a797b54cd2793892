// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import {
  DocumentLimitError,
  type JsonObject,
  type JsonValue,
  checkJsonSize,
  isJsonObject,
  parseJson,
} from "../../lib/json.ts";

/**
 * Parses JSON or YAML; undefined for an empty text.
 * @throws DocumentLimitError; an error that says where the text is wrong
 */
export type DocumentParser = (text: string) => JsonValue | undefined;

/** What is wrong with a text that a `DocumentParser` rejects. */
export function documentProblem(error: unknown): string {
  return error instanceof DocumentLimitError
    ? error.message
    : `is neither YAML nor JSON: ${describeError(error)}; correct it there`;
}

/** Whether a text needs more than JSON's own parser. One that is too large for it is left to the parser for YAML. */
export function needsYaml(text: string): boolean {
  if (text.trim() === "") return false;
  try {
    checkJsonSize(text);
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}

/** For texts that do not need YAML. */
export const parseJsonDocument: DocumentParser = (text) => (text.trim() === "" ? undefined : parseJson(text));

/** Loads the parser for YAML, which would delay Envoy's start. */
export async function loadYamlParser(): Promise<DocumentParser> {
  const { parseYaml } = await import("./yaml.ts");
  return (text) => (needsYaml(text) ? parseYaml(text) : parseJsonDocument(text));
}

/** The ProxyConfig in a document: its member `defaultConfig` in a mesh file, else the document itself. */
export function proxyConfigIn(document: JsonValue | undefined): JsonObject | undefined {
  if (!isJsonObject(document)) return undefined;
  const { defaultConfig } = document;
  return isJsonObject(defaultConfig) ? defaultConfig : document;
}

/** A member by its name in any letter case, as Kubernetes reads JSON; `null` counts as absent. */
export function memberOf(value: JsonObject, name: string): JsonValue | undefined {
  const exact = value[name];
  if (exact !== undefined && exact !== null) return exact;
  const key = Object.keys(value).find((given) => given.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : (value[key] ?? undefined);
}
