// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { normalize } from "node:path";
import { type ConfigInput, annotationsPath, labelsPath, loadYamlParser } from "../../config/index.ts";
import { describeError } from "../../lib/errors.ts";
import { UsageError } from "../command.ts";

/**
 * The same inputs with parts replaced by those of a file: `env` (over the environment; `null` removes), `args`,
 * `labels` and `annotations` (instead of those of the pod). A whole pod, as `kubectl get pod -o json` prints it, gives
 * its labels and annotations.
 * @throws UsageError naming the file
 */
export async function readOtherInput(input: ConfigInput, path: string): Promise<ConfigInput> {
  const parseDocument = await loadYamlParser();
  const value = recordOf(await parseFile(path, parseDocument));
  const metadata = recordOf(value["metadata"]);
  const labels = value["labels"] ?? metadata["labels"];
  const annotations = value["annotations"] ?? metadata["annotations"];
  const files = new Map<string, string>();
  if (labels !== undefined) files.set(normalize(labelsPath), downwardApi(recordOf(labels)));
  if (annotations !== undefined) files.set(normalize(annotationsPath), downwardApi(recordOf(annotations)));
  const { args } = value;
  return {
    ...input,
    parseDocument,
    env: mergeEnv(input.env, recordOf(value["env"])),
    args: Array.isArray(args) ? args.filter((word) => typeof word === "string") : input.args,
    readFile: (name) => {
      const text = files.get(normalize(name));
      return text === undefined ? input.readFile(name) : { kind: "text", text };
    },
  };
}

async function parseFile(path: string, parse: (text: string) => unknown): Promise<unknown> {
  try {
    return parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError("explain", `--diff ${path}: ${describeError(error)}`);
  }
}

type Values = Readonly<Record<string, unknown>>;

function recordOf(value: unknown): Values {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function mergeEnv(env: Readonly<Record<string, string>>, changes: Values): Readonly<Record<string, string>> {
  const kept = Object.entries(env).filter(([name]) => !Object.hasOwn(changes, name));
  const given = Object.entries(changes).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries([...kept, ...given]);
}

function downwardApi(values: Values): string {
  const texts = Object.entries(values).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return texts.map(([key, text]) => `${key}=${JSON.stringify(text)}\n`).join("");
}
