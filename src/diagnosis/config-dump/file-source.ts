// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from "node:fs";
import { describeError, systemCode } from "../../lib/errors.ts";
import type { JsonObject } from "../../lib/json.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import { type DumpSource, findBootstrap, visitDocument, visitStatuses } from "./dump-source.ts";
import type { LogLevelRow } from "./log-levels.ts";
import { tooLarge } from "./open-source.ts";
import { type Resource, type ResourceType, sectionType } from "./resources.ts";

/**
 * A saved document: Envoy's `/config_dump`, `/clusters?format=json`, or what `attache config -o json` and istioctl print.
 * It is read again for each question.
 */
export class FileSource implements DumpSource {
  readonly name: string;
  readonly #open: () => AsyncIterable<Uint8Array>;

  /** @param open the document's bytes; may be called more than once */
  constructor(name: string, open: () => AsyncIterable<Uint8Array>) {
    this.name = name;
    this.#open = open;
  }

  async visitResources(type: ResourceType, _names: string | undefined, visit: (resource: Resource) => void) {
    let found = 0;
    const types = await visitDocument(type, { chunks: this.#open(), name: this.name }, (resource) => {
      found++;
      visit(resource);
    });
    // A document of another kind must not pass for an empty configuration.
    if (found > 0 || types.size === 0 || [...types].some((one) => isSection(type, one))) return;
    const hint = type === "eds" ? "; save it with /config_dump?include_eds" : "";
    throw new ConfigDumpError("missing", `${this.name} has no ${labels[type]}${hint}`);
  }

  async visitClusterStatuses(visit: (status: JsonObject) => void): Promise<void> {
    let found = 0;
    await visitStatuses(this.#open(), this.name, (status) => {
      found++;
      visit(status);
    });
    if (found > 0) return;
    const cure = "save it with: curl 'localhost:15000/clusters?format=json'; 'eds' reads endpoints from a config_dump";
    throw new ConfigDumpError("missing", `${this.name} has no endpoints; ${cure}`);
  }

  async readBootstrap(): Promise<JsonObject> {
    return await findBootstrap(this.#open(), this.name);
  }

  readLogLevels(): Promise<readonly LogLevelRow[]> {
    throw new ConfigDumpError("missing", `${this.name} has no log levels`);
  }
}

/** Envoy leaves the section of extensions out when there are none. */
function isSection(type: ResourceType, typeUrl: string): boolean {
  return type === "ecds" ? typeUrl.includes("ConfigDump") : typeUrl.includes(`.${sectionType[type]}`);
}

const labels: Readonly<Record<ResourceType, string>> = {
  clusters: "clusters",
  listeners: "listeners",
  routes: "routes",
  secrets: "secrets",
  eds: "endpoints",
  ecds: "extension configurations",
};

/** @param path `-`: standard input, which can be read once */
export function openFile(path: string, mostBytes: number): DumpSource {
  const name = path === "-" ? "standard input" : path;
  return new FileSource(name, () => limited(path === "-" ? process.stdin : createReadStream(path), name, mostBytes));
}

async function* limited(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  mostBytes: number,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw tooLarge(name, mostBytes);
      yield chunk;
    }
  } catch (error) {
    if (systemCode(error) === undefined || error instanceof ConfigDumpError) throw error;
    throw new ConfigDumpError("unreachable", `read ${name}: ${describeError(error)}`, error);
  }
}
