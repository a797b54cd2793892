// SPDX-License-Identifier: Apache-2.0
import { parseAllDocuments } from "yaml";
import { type DocumentParser, needsYaml, parseJsonDocument } from "./documents.ts";

function boolTag(test: RegExp, value: boolean) {
  return { tag: "tag:yaml.org,2002:bool", default: true as const, test, resolve: () => value };
}

/** Booleans of YAML 1.1, that Kubernetes' own reader takes. */
const customTags = [boolTag(/^(?:y|Y|yes|Yes|YES|on|On|ON)$/, true), boolTag(/^(?:n|N|no|No|NO|off|Off|OFF)$/, false)];

/**
 * Parses YAML, and JSON with it: the first document of a text, the last of equal keys.
 * @throws an error that says where the text is wrong
 */
export const parseYamlDocument: DocumentParser = (text) => {
  if (!needsYaml(text)) return parseJsonDocument(text);
  const documents = parseAllDocuments(text, { uniqueKeys: false, merge: true, customTags, logLevel: "silent" });
  const first = Array.isArray(documents) ? documents[0] : undefined;
  if (first === undefined) return undefined;
  const [error] = first.errors;
  if (error !== undefined) throw new Error(error.message.split("\n")[0] ?? "not YAML", { cause: error });
  const value: unknown = first.toJS({ maxAliasCount: 100 });
  return value;
};
