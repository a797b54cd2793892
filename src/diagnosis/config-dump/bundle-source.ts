// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { describeError } from "../../lib/errors.ts";
import type { JsonObject } from "../../lib/json.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import type { DumpSource } from "./dump-source.ts";
import { FileSource } from "./file-source.ts";
import { hasEnvoyLevels, type LogLevelRow, parseAgentLevels, parseLogLevels } from "./log-levels.ts";
import { tooLarge } from "./open-source.ts";
import type { Resource, ResourceType } from "./resources.ts";

/** An archive of `attache bundle`. */
export class BundleSource implements DumpSource {
  readonly name: string;
  readonly #dump: FileSource;
  readonly #clusters: FileSource;
  readonly #open: (file: string) => AsyncIterable<Uint8Array>;

  /** @param mostBytes limit of each file in it */
  constructor(path: string, mostBytes: number) {
    this.name = path;
    this.#open = (file) => readArchivedFile(path, file, mostBytes);
    this.#dump = new FileSource(path, () => this.#open("envoy/config_dump.json"));
    this.#clusters = new FileSource(path, () => this.#open("envoy/clusters.json"));
  }

  async visitResources(type: ResourceType, names: string | undefined, visit: (resource: Resource) => void) {
    await this.#dump.visitResources(type, names, visit);
  }

  async visitClusterStatuses(visit: (status: JsonObject) => void): Promise<void> {
    await this.#clusters.visitClusterStatuses(visit);
  }

  async readBootstrap(): Promise<JsonObject> {
    return await this.#dump.readBootstrap();
  }

  async readLogLevels(): Promise<readonly LogLevelRow[]> {
    const agent = parseAgentLevels(await this.#readText("agent/log-levels.txt").catch(() => ""));
    if (hasEnvoyLevels(agent)) return agent;
    return [...agent, ...parseLogLevels("envoy", await this.#readText("envoy/logging.txt"))];
  }

  async #readText(file: string): Promise<string> {
    const parts: Uint8Array[] = [];
    for await (const chunk of this.#open(file)) parts.push(chunk);
    return Buffer.concat(parts).toString("utf8");
  }
}

const blockBytes = 512;

/** What all files of an archive may take, so that a small one cannot keep the command busy for long. */
const mostArchiveBytes = 4 * 2 ** 30;

/**
 * The content of the first file whose path ends so.
 * @throws ConfigDumpError when there is none, or the archive is damaged
 * Source: POSIX.1-1988, ustar interchange format
 */
async function* readArchivedFile(path: string, file: string, mostBytes: number): AsyncGenerator<Uint8Array> {
  const blocks = new ByteQueue(gunzipped(path));
  try {
    for (;;) {
      const header = await blocks.take(blockBytes);
      const size = Number.parseInt(textIn(header, 124, 12), 8);
      const name = textIn(header, 0, 100);
      if (name === "" || !Number.isSafeInteger(size)) break;
      const isWanted = `/${textIn(header, 345, 155)}/${name}`.endsWith(`/${file}`);
      if (isWanted && size > mostBytes) throw tooLarge(path, mostBytes);
      if (blocks.taken + size > mostArchiveBytes) break;
      for (let left = size; left > 0; ) {
        const chunk = await blocks.takeSome(left);
        left -= chunk.length;
        if (isWanted) yield chunk;
      }
      if (isWanted) return;
      await blocks.take((blockBytes - (size % blockBytes)) % blockBytes);
    }
  } catch (error) {
    if (error instanceof ConfigDumpError) throw error;
    throw new ConfigDumpError("malformed", `read ${path}: ${describeError(error)}`, error);
  } finally {
    await blocks.close();
  }
  throw new ConfigDumpError("missing", `${path} has no ${file}; Envoy did not respond when it was made`);
}

function gunzipped(path: string): AsyncIterable<Uint8Array> {
  const gunzip = createGunzip();
  // What fails is thrown where the output is read.
  pipeline(createReadStream(path), gunzip, () => undefined);
  return gunzip;
}

function textIn(header: Buffer, start: number, length: number): string {
  const [text = ""] = header.toString("utf8", start, start + length).split("\0");
  return text;
}

/** Bytes of a stream, in pieces of the size that is needed. */
class ByteQueue {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  taken = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte, at most as many as given. @throws Error at the end */
  async takeSome(most: number): Promise<Buffer> {
    if (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new Error("the archive ends early");
      this.#rest = Buffer.from(next.value);
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    this.taken += part.length;
    return part;
  }

  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0; ) {
      const part = await this.takeSome(left);
      left -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
