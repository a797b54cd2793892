// SPDX-License-Identifier: Apache-2.0
import { readTextFileSync } from "../../lib/fs/bounded-read.ts";
import { Findings } from "../config-error.ts";
import { loadYamlParser, needsYaml, parseJsonDocument, proxyConfigIn } from "./documents.ts";
import { parseDownwardApi } from "./downward-api.ts";
import { proxyFlags } from "./flags.ts";
import { configAnnotation, places, statusPortAnnotation } from "./sources.ts";

const usualStatusPort = 15_020;
const usualAdminPort = 15_000;

type Environment = Readonly<Record<string, string>>;

/**
 * The status port of the agent in this environment, for a command that runs beside it. What cannot be read counts as
 * not set.
 */
export async function readStatusPort(env: Environment): Promise<number> {
  const annotations = readAnnotations();
  const annotated = Number(annotations.get(statusPortAnnotation) ?? "");
  if (isPort(annotated)) return annotated;
  return (await configuredPort(env, annotations, ["statusPort", "status_port"])) ?? usualStatusPort;
}

/** As `readStatusPort`: the port of Envoy's admin interface, for a command that finds no agent. */
export async function readAdminPort(env: Environment): Promise<number> {
  const names = ["proxyAdminPort", "proxy_admin_port"] as const;
  return (await configuredPort(env, readAnnotations(), names)) ?? usualAdminPort;
}

function readAnnotations(): ReadonlyMap<string, string> {
  return parseDownwardApi(textOf(places.annotations), places.annotations, new Findings());
}

type PortNames = readonly [string, string];

async function configuredPort(
  env: Environment,
  annotations: ReadonlyMap<string, string>,
  names: PortNames,
): Promise<number | undefined> {
  for (const text of [annotations.get(configAnnotation), env["PROXY_CONFIG"], textOf(proxyFlags.meshConfig.default)]) {
    const port = await portIn(text ?? "", names);
    if (port !== undefined) return port;
  }
  return undefined;
}

/** The port in a ProxyConfig or in a mesh file. */
async function portIn(text: string, [name, otherName]: PortNames): Promise<number | undefined> {
  const parse = needsYaml(text) ? await loadYamlParser() : parseJsonDocument;
  try {
    const config = proxyConfigIn(parse(text));
    const port = Number(config?.[name] ?? config?.[otherName]);
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
