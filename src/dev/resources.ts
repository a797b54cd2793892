// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { shortHash } from "../lib/content-hash.ts";
import { parse } from "yaml";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { AgentError, describeError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { ResourceSource } from "./agent-setup.ts";
import { type MeshAddresses, type MeshPorts, onLoopback, trustDomain, type WorkloadName } from "./mesh.ts";

/** A resource file, or its directory, cannot be used. */
export class DevResourceError extends AgentError {
  readonly code = "AGENT_DEV_RESOURCE";
  override readonly exitCode = exitCode.configuration;
  readonly path: string;
  readonly problem: string;
  /** From 1; undefined when it is not about one line. */
  readonly line: number | undefined;
  constructor(
    path: string,
    problem: string,
    { line, cause }: { readonly line?: number; readonly cause?: unknown } = {},
  ) {
    const place = line === undefined ? path : `${path}:${String(line)}`;
    super(`read Envoy resources from ${place}: ${problem}`, { cause });
    this.path = path;
    this.problem = problem;
    this.line = line;
  }
}

/** Provides the resources of both Envoys, and applies edits. */
export interface ResourceFeed extends AsyncDisposable {
  sourceOf(workload: WorkloadName): ResourceSource;
  /** Reports the result of each edit, until the result is disposed. */
  follow(say: (text: string) => void, stop: AbortSignal): Promise<AsyncDisposable>;
}

/** The values of `${NAME}` in a resource file. */
export type Placeholders = Readonly<Record<string, string>>;

/** A resource file as Envoy reads it. */
export interface RenderedResource {
  readonly path: string;
  /** The version in the file. It changes with the content and shows up in Envoy's configuration dump. */
  readonly version: string;
}

/**
 * The placeholders of one workload's files, without `VERSION`, which each file has its own of.
 * @param directory where Envoy reads the files itself; undefined when it gets them over ADS
 */
export function placeholdersOf(
  ports: MeshPorts,
  directory: string | undefined,
  addresses: MeshAddresses = onLoopback(ports),
): Placeholders {
  const source = directory === undefined ? { ads: {} } : { path_config_source: { path: join(directory, "rds.yaml") } };
  return {
    API_ADDRESS: addresses.api.host,
    API_APP_PORT: String(ports.api.app),
    API_INBOUND_ADDRESS: addresses.apiInbound,
    API_INBOUND_PORT: String(ports.api.envoy),
    API_PORT: String(addresses.api.port),
    ROUTES_SOURCE: JSON.stringify({ resource_api_version: "V3", ...source }),
    TRUST_DOMAIN: trustDomain,
    WEB_OUTBOUND_PORT: String(ports.web.envoy),
  };
}

/**
 * Replaces the placeholders of one file. Comment lines become empty, so a comment may contain a placeholder, and every
 * line keeps its number.
 * @throws DevResourceError for an unknown placeholder, with its line and the known ones
 */
export function renderResource(path: string, template: string, placeholders: Placeholders): string {
  const fillIn = (text: string, line: number): string =>
    text.replaceAll(/\$\{([^}]*)\}/g, (_whole, name: string) => {
      const value = Object.hasOwn(placeholders, name) ? placeholders[name] : undefined;
      if (value !== undefined) return value;
      const known = Object.keys(placeholders).sort().join(", ");
      throw new DevResourceError(path, `unknown placeholder \${${name}}; known are ${known}`, { line });
    });
  return template
    .split("\n")
    .map((text, index) => (/^\s*#/.test(text) ? "" : fillIn(text, index + 1)))
    .join("\n");
}

/**
 * Renders one file to where Envoy reads it, in one step: Envoy reads a file again when it is moved into place.
 * @throws DevResourceError when the file cannot be read or is not YAML; Envoy's file is not touched then
 */
export async function installResource(from: string, to: string, placeholders: Placeholders): Promise<RenderedResource> {
  const template = await readFile(from, "utf8").catch((error: unknown) => {
    throw new DevResourceError(from, "it cannot be read", { cause: error });
  });
  const version = versionOf(template);
  const text = renderResource(from, template, { ...placeholders, VERSION: version });
  try {
    parse(text);
  } catch (error) {
    throw new DevResourceError(from, `it is not YAML: ${describeError(error)}`);
  }
  writeFileAtomicSync(to, text, 0o600);
  return { path: to, version };
}

/**
 * Renders every file of a workload's directory.
 * @param from the resource files, one directory for each workload
 * @throws DevResourceError
 */
export async function installResources(
  from: string,
  to: string,
  workload: WorkloadName,
  placeholders: Placeholders,
): Promise<readonly RenderedResource[]> {
  const folder = join(from, workload);
  const names = await listResources(folder);
  return await Promise.all(names.map((name) => installResource(join(folder, name), join(to, name), placeholders)));
}

/**
 * The names of the files in a workload's directory.
 * @throws DevResourceError when the directory cannot be read, or a file that Envoy needs is missing
 */
export async function listResources(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new DevResourceError(folder, "the directory cannot be read; choose another with --resources", { cause });
  });
  for (const needed of ["lds.yaml", "cds.yaml"]) {
    if (!names.includes(needed)) throw new DevResourceError(folder, `${needed} is missing`);
  }
  return names.filter((name) => name.endsWith(".yaml"));
}

/** The value of `${VERSION}`: a hash of the file. */
export function versionOf(template: string): string {
  return shortHash(template, 12);
}
