// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { writeFileAtomicSync } from "../lib/atomic-file.ts";
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

/** The placeholders of one workload's files. `VERSION` comes on top, from the content of each file. */
export function placeholdersOf(ports: MeshPorts, directory: string): Placeholders {
  return {
    API_APP_PORT: String(ports.api.app),
    API_INBOUND_PORT: String(ports.api.envoy),
    DIRECTORY: directory,
    TRUST_DOMAIN: trustDomain,
    WEB_OUTBOUND_PORT: String(ports.web.envoy),
  };
}

/**
 * Fills in the placeholders of one file. Comment lines are left out, so a comment may show a placeholder.
 * @throws DevResourceError naming a placeholder that does not exist, with those that do
 */
export function renderResource(path: string, template: string, placeholders: Placeholders): string {
  return template
    .split("\n")
    .filter((line) => !/^\s*#/.test(line))
    .join("\n")
    .replaceAll(/\$\{([^}]*)\}/g, (_whole, name: string) => {
      const value = placeholders[name];
      if (value !== undefined) return value;
      const known = Object.keys(placeholders).sort().join(", ");
      throw new DevResourceError(path, `there is no placeholder \${${name}}; those there are: ${known}`);
    });
}

/**
 * Fills in one file and puts it where Envoy reads it, in one step: Envoy looks again when a file is moved into place.
 * @throws DevResourceError when the file cannot be read or is not YAML; what Envoy has stays as it was
 */
export async function installResource(from: string, to: string, placeholders: Placeholders): Promise<RenderedResource> {
  const template = await readFile(from, "utf8").catch((error: unknown) => {
    throw new DevResourceError(from, "it is not readable", error);
  });
  const version = createHash("sha256").update(template).digest("hex").slice(0, 12);
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
  const names = await readdir(folder).catch((error: unknown) => {
    throw new DevResourceError(folder, "it is not a readable folder; name the right one by --resources", error);
  });
  for (const needed of ["lds.yaml", "cds.yaml"]) {
    if (!names.includes(needed)) throw new DevResourceError(folder, `${needed} is not there`);
  }
  const files = names.filter((name) => name.endsWith(".yaml"));
  return await Promise.all(files.map((name) => installResource(join(folder, name), join(to, name), placeholders)));
}
