// SPDX-License-Identifier: Apache-2.0

export type DocumentParser = (text: string) => unknown;

/** Whether a text needs more than JSON's own parser. */
export function needsYaml(text: string): boolean {
  if (text.trim() === "") return false;
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}

/** Parses JSON; an empty text is nothing. */
export const parseJsonDocument: DocumentParser = (text) => (text.trim() === "" ? undefined : JSON.parse(text));

/**
 * Loads the parser for YAML: the first document of a text, the last of equal keys, and the booleans that Kubernetes'
 * YAML has (`yes`, `on`). JSON needs none of it.
 */
export async function loadYamlParser(): Promise<DocumentParser> {
  const { parseAllDocuments } = await import("yaml");
  const bool = (test: RegExp, value: boolean) => ({
    tag: "tag:yaml.org,2002:bool",
    default: true as const,
    test,
    resolve: () => value,
  });
  const customTags = [bool(/^(?:y|Y|yes|Yes|YES|on|On|ON)$/, true), bool(/^(?:n|N|no|No|NO|off|Off|OFF)$/, false)];
  return (text) => {
    if (!needsYaml(text)) return parseJsonDocument(text);
    const documents = parseAllDocuments(text, { uniqueKeys: false, merge: true, customTags, logLevel: "silent" });
    const first = Array.isArray(documents) ? documents[0] : undefined;
    if (first === undefined) return undefined;
    const [error] = first.errors;
    if (error !== undefined) throw new Error(error.message.split("\n")[0] ?? "not YAML", { cause: error });
    return first.toJS({ maxAliasCount: 100 });
  };
}
