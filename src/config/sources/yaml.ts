// SPDX-License-Identifier: Apache-2.0
import { type Tags, parseAllDocuments } from "yaml";
import { type JsonValue, toJsonValue } from "../../lib/json.ts";
import { yamlProblem } from "../../lib/yaml-problem.ts";
import { checkExpandedSize, checkYamlSize } from "../../lib/yaml-size.ts";

function boolTag(test: RegExp, value: boolean) {
  return { tag: "tag:yaml.org,2002:bool", default: true as const, test, resolve: () => value };
}

/** An integer that a JavaScript number cannot represent is kept exactly. */
function intTag(test: RegExp, parse: (digits: string) => bigint) {
  const resolve = (text: string): number | bigint => {
    const sign = text.startsWith("-") ? -1n : 1n;
    const value = sign * parse(text.replace(/^[-+]/, "").replaceAll("_", ""));
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  };
  return { tag: "tag:yaml.org,2002:int", default: true as const, test, resolve };
}

/**
 * The parts of YAML 1.1 that Kubernetes accepts: its booleans, octal numbers such as a file's mode, and grouped digits.
 * They take precedence over the tags of YAML 1.2, which read some of them differently.
 */
const olderTags = [
  boolTag(/^(?:y|Y|yes|Yes|YES|on|On|ON)$/, true),
  boolTag(/^(?:n|N|no|No|NO|off|Off|OFF)$/, false),
  intTag(/^[-+]?0[0-7_]*[0-7]$/, (digits) => BigInt(`0o${digits}`)),
  intTag(/^[-+]?(?:0|[1-9][0-9_]*)$/, BigInt),
  intTag(/^0(?:x[0-9a-fA-F]+|o[0-7]+)$/, BigInt),
];

const customTags = (tags: Tags): Tags => [...olderTags, ...tags];

/**
 * Parses the first YAML document of a text. Of equal keys the last one counts.
 * @throws DocumentLimitError; an error that says where the text is wrong
 */
export function parseYaml(text: string): JsonValue | undefined {
  checkYamlSize(text);
  const documents = parseAllDocuments(text, { uniqueKeys: false, merge: true, customTags, logLevel: "silent" });
  const first = Array.isArray(documents) ? documents[0] : undefined;
  if (first === undefined) return undefined;
  const [error] = first.errors;
  if (error !== undefined) throw new Error(yamlProblem(error));
  checkExpandedSize(first);
  const value: unknown = first.toJS({ maxAliasCount: 100 });
  return toJsonValue(value);
}
