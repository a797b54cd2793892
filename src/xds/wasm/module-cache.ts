// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../lib/async/clock.ts";
import { makeDirectorySync } from "../../lib/fs/make-directory.ts";
import { sha256Hex, shortHash } from "../../lib/content-hash.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import type { WasmConfig } from "../xds-config.ts";

export interface ModuleCacheDeps {
  readonly clock: Clock;
  readonly metrics: Pick<XdsMetrics, "wasmCacheEntries">;
}

/** The module that a URL led to. */
interface KnownUrl {
  readonly module: string;
  readonly checksum: string;
  readonly resourceVersion: string;
}

/**
 * Modules on disk: `<sha256 of the module's name>/<checksum>.wasm`, written atomically. Before each use the content is
 * compared with the SHA-256 that this process remembers, or else with the one in its name: a file that another program
 * has put there is not used. The file's modification time is its last use.
 */
export class ModuleCache {
  readonly #config: WasmConfig;
  readonly #deps: ModuleCacheDeps;
  /** Paths of the modules on disk, as far as this process has seen them. */
  readonly #entries = new Set<string>();
  readonly #urls = new Map<string, KnownUrl>();
  /** SHA-256 of the files that this process has written, by path. */
  readonly #contents = new Map<string, string>();
  #serial = 0;

  constructor(config: WasmConfig, deps: ModuleCacheDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  known(url: string): KnownUrl | undefined {
    return this.#urls.get(url);
  }

  remember(url: string, known: KnownUrl): void {
    this.#urls.set(url, known);
  }

  /** The path of a module; undefined when the file is missing or was changed. */
  async find(module: string, checksum: string): Promise<string | undefined> {
    const path = this.#path(module, checksum);
    if (!(await this.#isIntact(path, checksum))) return undefined;
    const now = this.#deps.clock.now() / 1_000;
    await utimes(path, now, now).catch(() => undefined);
    return path;
  }

  /** @returns the file's path. @throws the system's error when it cannot be written */
  async add(module: string, checksum: string, bytes: Uint8Array): Promise<string> {
    const path = this.#path(module, checksum);
    makeDirectorySync(dirname(path), 0o755);
    const temporary = `${path}.${String(process.pid)}.${String(this.#serial++)}.tmp`;
    try {
      await writeFile(temporary, bytes, { mode: 0o644 });
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    this.#contents.set(path, await sha256Hex(bytes));
    this.#count(path, true);
    return path;
  }

  /** Deletes modules that were not used for long, also those of earlier processes. */
  async purge(): Promise<void> {
    const oldestMs = this.#deps.clock.now() - this.#config.expiryMs;
    const directory = this.#config.cacheDirectory;
    const names = await readdir(directory, { recursive: true, encoding: "utf8" }).catch(() => []);
    for (const name of names.filter((entry) => entry.endsWith(".wasm"))) {
      const path = join(directory, name);
      const used = await stat(path).catch(() => undefined);
      this.#count(path, used !== undefined && used.mtimeMs >= oldestMs);
      if (used === undefined || used.mtimeMs >= oldestMs) continue;
      await Promise.all([rm(path, { force: true }), rm(`${path}.sha256`, { force: true })]);
      this.#contents.delete(path);
    }
    for (const [url, known] of this.#urls) {
      if ((await stat(this.#path(known.module, known.checksum)).catch(() => undefined)) === undefined)
        this.#urls.delete(url);
    }
  }

  #count(path: string, isThere: boolean): void {
    if (isThere) this.#entries.add(path);
    else this.#entries.delete(path);
    this.#deps.metrics.wasmCacheEntries.set(this.#entries.size);
  }

  #path(module: string, checksum: string): string {
    const name = shortHash(module, 64);
    return join(this.#config.cacheDirectory, name, `${checksum}.wasm`);
  }

  /** Of an archive or an image the name is not the content's checksum: then only this process's files are used. */
  async #isIntact(path: string, checksum: string): Promise<boolean> {
    try {
      await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (!(await file.stat()).isFile()) return false;
      const hash = createHash("sha256");
      await pipeline(file.createReadStream({ autoClose: false }), hash);
      return hash.digest("hex") === (this.#contents.get(path) ?? checksum);
    } catch {
      return false;
    }
  }
}
