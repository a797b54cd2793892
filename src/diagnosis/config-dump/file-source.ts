// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../lib/json.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import { type DumpSource, findBootstrap, visitDocument, visitStatuses } from "./dump-source.ts";
import type { LogLevelRow } from "./log-levels.ts";
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
