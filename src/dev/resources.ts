// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { describeError } from "../lib/errors.ts";
import { DevResourceError } from "./errors.ts";
import { type MeshPorts, trustDomain, type WorkloadName } from "./mesh.ts";

/** What `${NAME}` stands for in a resource file. */
export type Placeholders = Readonly<Record<string, string>>;

/** One resource file as Envoy gets it. */
export interface RenderedResource {
  readonly path: string;
  /** What the file says its version is: changes with its content, so that Envoy can be asked what it uses. */
  readonly version: string;
}

/**
 * The placeholders of one workload's files. `VERSION` comes on top, from the content of each file.
 * @param directory where Envoy reads the files itself; undefined when it is sent them over ADS
 */
export function placeholdersOf(ports: MeshPorts, directory: string | undefined): Placeholders {
  const source = directory === undefined ? { ads: {} } : { path_config_source: { path: join(directory, "rds.yaml") } };
  return {
    API_APP_PORT: String(ports.api.app),
    API_INBOUND_PORT: String(ports.api.envoy),
    ROUTES_SOURCE: JSON.stringify({ resource_api_version: "V3", ...source }),
    TRUST_DOMAIN: trustDomain,
    WEB_OUTBOUND_PORT: String(ports.web.envoy),
  };
}

/**
 * Fills in the placeholders of one file. Comment lines become empty, so a comment may show a placeholder, and every
 * line keeps its number.
 * @throws DevResourceError naming the line of a placeholder that does not exist, and those that do
 */
export function renderResource(path: string, template: string, placeholders: Placeholders): string {
  const fillIn = (text: string, line: number): string =>
    text.replaceAll(/\$\{([^}]*)\}/g, (_whole, name: string) => {
      const value = placeholders[name];
      if (value !== undefined) return value;
      const known = Object.keys(placeholders).sort().join(", ");
      throw new DevResourceError(path, `there is no placeholder \${${name}}; those there are: ${known}`, { line });
    });
  return template
    .split("\n")
    .map((text, index) => (/^\s*#/.test(text) ? "" : fillIn(text, index + 1)))
    .join("\n");
}

/**
 * Fills in one file and puts it where Envoy reads it, in one step: Envoy looks again when a file is moved into place.
 * @throws DevResourceError when the file cannot be read or is not YAML; what Envoy has stays as it was
 */
export async function installResource(from: string, to: string, placeholders: Placeholders): Promise<RenderedResource> {
  const template = await readFile(from, "utf8").catch((error: unknown) => {
    throw new DevResourceError(from, "it is not readable", { cause: error });
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
 * Fills in every file of a workload's folder.
 * @param from the folder with the readable files, one folder for each workload
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
 * The names of the files in a workload's folder.
 * @throws DevResourceError when it is not a folder, or one that Envoy starts from is not there
 */
export async function listResources(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new DevResourceError(folder, "it is not a readable folder; name the right one by --resources", { cause });
  });
  for (const needed of ["lds.yaml", "cds.yaml"]) {
    if (!names.includes(needed)) throw new DevResourceError(folder, `${needed} is not there`);
  }
  return names.filter((name) => name.endsWith(".yaml"));
}

/** What `${VERSION}` stands for: changes with the content of a file. */
export function versionOf(template: string): string {
  return createHash("sha256").update(template).digest("hex").slice(0, 12);
}
