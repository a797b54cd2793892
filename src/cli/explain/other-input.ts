// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { normalize } from "node:path";
import {
  type ConfigInput,
  annotationsPath,
  labelsPath,
  loadMeshFileCheck,
  loadYamlParser,
} from "../../config/index.ts";
import { type JsonObject, type JsonValue, isJsonList, objectOf } from "../../lib/json.ts";
import { describeError } from "../../lib/errors.ts";
import { UsageError } from "../command.ts";

/**
 * Replaces parts of the inputs by those of a file: `env` (merged over the environment; `null` removes a variable),
 * `args`, `labels` and `annotations` (instead of the pod's). Of a whole pod, as `kubectl get pod -o json` prints it,
 * labels and annotations are used.
 * @throws UsageError naming the file
 */
export async function readOtherInput(input: ConfigInput, path: string): Promise<ConfigInput> {
  const parseDocument = await loadYamlParser();
  const value = objectOf(await parseFile(path, parseDocument));
  const metadata = objectOf(value["metadata"]);
  const labels = value["labels"] ?? metadata["labels"];
  const annotations = value["annotations"] ?? metadata["annotations"];
  const files = new Map<string, string>();
  if (labels !== undefined) files.set(normalize(labelsPath), downwardApi(objectOf(labels)));
  if (annotations !== undefined) files.set(normalize(annotationsPath), downwardApi(objectOf(annotations)));
  const { args } = value;
  return {
    ...input,
    parseDocument,
    checkMeshFile: await loadMeshFileCheck(),
    env: mergeEnv(input.env, objectOf(value["env"])),
    args: isJsonList(args) ? args.filter((word) => typeof word === "string") : input.args,
    readFile: (name) => {
      const text = files.get(normalize(name));
      return text === undefined ? input.readFile(name) : { kind: "text", text };
    },
  };
}

async function parseFile(path: string, parse: ConfigInput["parseDocument"]): Promise<JsonValue | undefined> {
  try {
    return parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError("explain", `--diff ${path}: ${describeError(error)}`);
  }
}

function mergeEnv(env: Readonly<Record<string, string>>, changes: JsonObject): Readonly<Record<string, string>> {
  const kept = Object.entries(env).filter(([name]) => !Object.hasOwn(changes, name));
  const given = Object.entries(changes).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries([...kept, ...given]);
}

function downwardApi(values: JsonObject): string {
  const texts = Object.entries(values).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return texts.map(([key, text]) => `${key}=${JSON.stringify(text)}\n`).join("");
}
