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

/** Loads the parser for YAML, which costs time that belongs to Envoy's start. */
export async function loadYamlParser(): Promise<DocumentParser> {
  const { parseYamlDocument } = await import("./yaml.ts");
  return parseYamlDocument;
}
