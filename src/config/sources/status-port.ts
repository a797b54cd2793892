// SPDX-License-Identifier: Apache-2.0
import { readTextFileSync } from "../../lib/fs/bounded-read.ts";
import { Findings } from "../config-error.ts";
import { loadYamlParser, needsYaml, parseJsonDocument, proxyConfigIn } from "./documents.ts";
import { parseDownwardApi } from "./downward-api.ts";
import { proxyFlags } from "./flags.ts";
import { configAnnotation, places, statusPortAnnotation } from "./sources.ts";

const usualPort = 15_020;

/**
 * The status port of the agent in this environment, for a command that runs beside it. What cannot be read counts as
 * not set.
 */
export async function readStatusPort(env: Readonly<Record<string, string>>): Promise<number> {
  const annotations = parseDownwardApi(textOf(places.annotations), places.annotations, new Findings());
  const annotated = Number(annotations.get(statusPortAnnotation) ?? "");
  if (isPort(annotated)) return annotated;
  for (const text of [annotations.get(configAnnotation), env["PROXY_CONFIG"], textOf(proxyFlags.meshConfig.default)]) {
    const port = await portIn(text ?? "");
    if (port !== undefined) return port;
  }
  return usualPort;
}

/** The port in a ProxyConfig or in a mesh file. */
async function portIn(text: string): Promise<number | undefined> {
  const parse = needsYaml(text) ? await loadYamlParser() : parseJsonDocument;
  try {
    const config = proxyConfigIn(parse(text));
    const port = Number(config?.["statusPort"] ?? config?.["status_port"]);
    return isPort(port) ? port : undefined;
  } catch {
    return undefined;
  }
}

function isPort(number: number): boolean {
  return Number.isInteger(number) && number > 0 && number < 65_536;
}

/** Read at once: the command has nothing else to do. */
function textOf(path: string): string {
  try {
    return readTextFileSync(path);
  } catch {
    return "";
  }
}
