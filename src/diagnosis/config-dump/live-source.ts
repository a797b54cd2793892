// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import type { JsonObject } from "../../lib/json.ts";
import type { HttpStream } from "../../lib/net/http-client.ts";
import { shortenPeerText } from "../../lib/printable-text.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import { type DumpSource, findBootstrap, visitDocument, visitStatuses } from "./dump-source.ts";
import { hasEnvoyLevels, type LogLevelRow, parseAgentLevels, parseLogLevels } from "./log-levels.ts";
import { dumpFields, type Resource, type ResourceType } from "./resources.ts";

/** Envoy's admin interface, directly or through the agent. */
export interface EnvoyPages {
  readonly name: string;
  /** @param path with its query; POST is for Envoy's `/logging` alone @throws ConfigDumpError, and what `read` throws */
  get<T>(path: string, read: (response: HttpStream) => Promise<T>): Promise<T>;
  /** The agent's levels as a text; undefined without an agent. */
  readonly readAgentLevels: (() => Promise<string>) | undefined;
}

/** Longest list of log levels. */
const mostLevelsBytes = 1024 * 1024;

/** A running Envoy. Only the part that is needed is asked for, so that Envoy need not print the rest. */
export class LiveSource implements DumpSource {
  readonly name: string;
  readonly #pages: EnvoyPages;

  constructor(pages: EnvoyPages) {
    this.name = pages.name;
    this.#pages = pages;
  }

  async visitResources(
    type: ResourceType,
    names: string | undefined,
    visit: (resource: Resource) => void,
  ): Promise<void> {
    for (const field of dumpFields[type]) {
      const query = new URLSearchParams({ resource: field });
      if (names !== undefined) query.set("name_regex", names);
      const path = `/config_dump?${type === "eds" ? "include_eds&" : ""}${query.toString().replaceAll("+", "%20")}`;
      await this.#pages.get(path, async (response) => {
        if (response.status === 404) {
          // Envoy has never had a resource of this type.
          const problem = await readText(response);
          if (problem.includes("not found in config dump")) return;
          throw refused(this.name, path, response.status, problem);
        }
        await this.#assertFound(path, response);
        await visitDocument(type, { chunks: response.chunks, name: this.name, field }, visit);
      });
    }
  }

  async visitClusterStatuses(visit: (status: JsonObject) => void): Promise<void> {
    const path = "/clusters?format=json";
    await this.#pages.get(path, async (response) => {
      await this.#assertFound(path, response);
      await visitStatuses(response.chunks, this.name, visit);
    });
  }

  async readBootstrap(): Promise<JsonObject> {
    const path = "/config_dump?mask=bootstrap";
    return await this.#pages.get(path, async (response) => {
      await this.#assertFound(path, response);
      return await findBootstrap(response.chunks, this.name);
    });
  }

  async readLogLevels(): Promise<readonly LogLevelRow[]> {
    const { readAgentLevels } = this.#pages;
    const agent = readAgentLevels === undefined ? [] : parseAgentLevels(await readAgentLevels());
    if (hasEnvoyLevels(agent)) return agent;
    const envoy = await this.#pages.get("/logging", async (response) => {
      await this.#assertFound("/logging", response);
      return parseLogLevels("envoy", await readText(response));
    });
    return [...agent, ...envoy];
  }

  async #assertFound(path: string, response: HttpStream): Promise<void> {
    if (response.status !== 200) throw refused(this.name, path, response.status, await readText(response));
  }
}

function refused(name: string, path: string, status: number, text: string): ConfigDumpError {
  const [page = path] = path.split("?");
  const reason = status === 403 && text === "" ? "" : `: ${shortenPeerText(text.trim())}`;
  return new ConfigDumpError("refused", `read ${page} of ${name}: HTTP status ${String(status)}${reason}`);
}

/** A short text. @throws ConfigDumpError */
export async function readText({ chunks }: HttpStream): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > mostLevelsBytes) throw new ConfigDumpError("too-large", "the text is larger than 1 MiB");
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** What went wrong, for an error that names the source. */
export function problemOf(error: unknown): string {
  return error instanceof Error && "problem" in error && typeof error.problem === "string"
    ? error.problem
    : describeError(error);
}
