// SPDX-License-Identifier: Apache-2.0
import type { FileHandle } from "node:fs/promises";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../lib/async/clock.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { Budget } from "../../lib/budget.ts";
import { shortHash } from "../../lib/content-hash.ts";
import { fileSha256, openPlainFile } from "../../lib/fs/temporary-file.ts";
import type { Budgets } from "../../model/limits.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import { CacheFile } from "./cache-file.ts";

export interface ModuleCacheDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
  readonly metrics: Pick<XdsMetrics, "wasmCacheEntries">;
}

/** A module as the cache names it. */
export interface ModuleKey {
  /** What modules that share a directory have in common, such as their URL. */
  readonly name: string;
  /** The SHA-256 that it is pinned to: of the module, of the archive that it was in, or of an image's manifest. */
  readonly checksum: string;
}

/** What is kept of a module: itself, and what proves that it belongs to its checksum. */
export type CachedPart = "wasm" | "download" | "manifest";

interface Entry {
  /** A share of the budget, for all parts. */
  readonly disk: Budget;
  readonly bytes: Map<CachedPart, number>;
  /** SHA-256 of the module, once this process has verified it. */
  sha256: string | undefined;
  usedMs: number;
}

/** A temporary file is written within seconds: an older one belongs to a process that was killed. */
const leftoverAgeMs = 3_600_000;
/** A smaller file counts as much, which limits their number. */
const leastFileBytes = 256 * 1024;
/** Others may have put a directory in a file's place. */
const removal = { force: true, recursive: true };
const directoryName = /^[0-9a-f]{64}$/;
const fileName = /^([0-9a-f]{64})\.([a-z]+)$/;
const parts: readonly CachedPart[] = ["wasm", "download", "manifest"];
const leftoverName = /\.tmp$|\.sha256$/;

/**
 * Modules on disk: `<sha256 of the module's name>/<checksum>.wasm`, written atomically, with the archive or the manifest
 * of an image beside it. Before each use the content is compared with the SHA-256 that this process remembers, or else
 * with the checksum in its name: a file that another program has put there is not used. The file's modification time is
 * its last use. When the disk budget is spent, the modules that were not used for longest are deleted, except those in
 * use.
 */
export class ModuleCache {
  readonly #config: WasmConfig;
  readonly #deps: ModuleCacheDeps;
  readonly #disk: Budget;
  /** Modules on disk, as far as this process has seen them, by path without extension. */
  readonly #entries = new Map<string, Entry>();
  /** Paths without extension, by the name of the extension that uses the module. */
  readonly #uses = new Map<string, string>();
  /** Files get their names and are deleted one at a time, so that none is deleted that was just verified. */
  readonly #changes = new SerialQueue();
  #modules = 0;

  constructor(config: WasmConfig, deps: ModuleCacheDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#disk = deps.budgets.of("wasm-disk-bytes");
  }

  /** The path of a module; undefined when the file is missing or was changed. */
  async find(key: ModuleKey): Promise<string | undefined> {
    const expected = this.#entries.get(this.#base(key))?.sha256 ?? key.checksum;
    return await this.verify(key, "wasm", expected);
  }

  /** The path of a part with this content; undefined when it is missing or is another one. Counts as use. */
  async verify(key: ModuleKey, part: CachedPart, sha256: string): Promise<string | undefined> {
    const base = this.#base(key);
    const path = `${base}.${part}`;
    await using file = await openPlainFile(path, this.#deps.budgets.of("wasm-module-bytes").size);
    if (file === undefined || (await fileSha256(file).catch(() => undefined)) !== sha256) return undefined;
    const now = this.#deps.clock.now();
    await file.utimes(now / 1_000, now / 1_000).catch(() => undefined);
    const { ino, size } = await file.stat();
    return await this.#changes.run(async () => {
      const current = await lstat(path).catch(() => undefined);
      if (current?.ino !== ino) return undefined;
      this.#record(base, part, size, now, sha256);
      return path;
    });
  }

  /** Whether there is such a part. It is not verified. */
  async has(key: ModuleKey, part: CachedPart): Promise<boolean> {
    return (await lstat(`${this.#base(key)}.${part}`).catch(() => undefined))?.isFile() === true;
  }

  /** The download, which is not verified; undefined when it is missing. Dispose it. */
  async openDownload(key: ModuleKey): Promise<FileHandle | undefined> {
    return await openPlainFile(`${this.#base(key)}.download`, this.#deps.budgets.of("wasm-module-bytes").size);
  }

  /** The manifest of an image, which is not verified; undefined when it is missing. */
  async readManifest(key: ModuleKey): Promise<Buffer | undefined> {
    const maxBytes = this.#deps.budgets.of("wasm-response-bytes").size;
    await using file = await openPlainFile(`${this.#base(key)}.manifest`, maxBytes);
    if (file === undefined) return undefined;
    const buffer = Buffer.alloc(maxBytes);
    const { bytesRead } = await file.read(buffer, 0, maxBytes, 0);
    return buffer.subarray(0, bytesRead);
  }

  /** A new file for a module; dispose it. @throws CacheWriteError */
  async create(name: string, signal: AbortSignal): Promise<CacheFile> {
    const { budgets } = this.#deps;
    return await CacheFile.create({
      directory: this.#directory(name),
      diskBytes: this.#disk.child(),
      memoryBytes: budgets.of("wasm-memory-bytes"),
      takeDisk: (share, bytes) => this.#takeDisk(share, bytes),
      signal,
    });
  }

  /** Keeps a file as a part of a module. @returns its path. @throws CacheWriteError */
  async keep(file: CacheFile, key: ModuleKey, part: CachedPart): Promise<string> {
    const base = this.#base(key);
    const { bytes } = file;
    return await this.#changes.run(async () => {
      await file.moveTo(`${base}.${part}`);
      await file[Symbol.asyncDispose]();
      this.#record(base, part, bytes, this.#deps.clock.now(), file.sha256());
      return `${base}.${part}`;
    });
  }

  /** Records that an extension uses the module of this path, and no other one; undefined: none. */
  use(extension: string, path: string | undefined): void {
    this.#uses.delete(extension);
    if (path === undefined) return;
    if (this.#uses.size >= this.#deps.budgets.of("ecds-resources").size) {
      const [oldest = ""] = this.#uses.keys();
      this.#uses.delete(oldest);
    }
    this.#uses.set(extension, path.slice(0, -".wasm".length));
  }

  /** All other extensions use no module any more. */
  useOnly(extensions: ReadonlySet<string>): void {
    for (const name of this.#uses.keys()) if (!extensions.has(name)) this.#uses.delete(name);
  }

  /** Deletes modules that were not used for long, also those of earlier processes, and what killed processes left. */
  async purge(): Promise<void> {
    const nowMs = this.#deps.clock.now();
    const seen = new Set<string>();
    const { cacheDirectory, expiryMs } = this.#config;
    for (const name of (await namesIn(cacheDirectory)).filter((one) => directoryName.test(one))) {
      const directory = join(cacheDirectory, name);
      for (const file of await namesIn(directory)) {
        const base = await this.#inspect(directory, file, nowMs);
        if (base !== undefined) seen.add(base);
      }
      // Of a fetch that failed; one with files in it stays.
      await rmdir(directory).catch(() => undefined);
    }
    const inUse = new Set(this.#uses.values());
    for (const [base, { usedMs }] of this.#entries) {
      if (!seen.has(base) && usedMs < nowMs) this.#forget(base);
      else if (usedMs < nowMs - expiryMs && !inUse.has(base)) await this.#delete(base, usedMs);
    }
    while (this.#disk.used > this.#disk.size && (await this.#dropOldest()));
  }

  /** @returns the path without extension of a module's file */
  async #inspect(directory: string, name: string, nowMs: number): Promise<string | undefined> {
    const { checksum, part } = parseFileName(name) ?? {};
    const usedBeforeMs = this.#entries.get(join(directory, checksum ?? ""))?.usedMs;
    const status = await lstat(join(directory, name)).catch(() => undefined);
    if (status === undefined) return undefined;
    if (checksum === undefined || part === undefined) {
      const isLeftover = leftoverName.test(name) && status.mtimeMs < nowMs - leftoverAgeMs;
      if (isLeftover) await rm(join(directory, name), { force: true });
      return undefined;
    }
    const base = join(directory, checksum);
    // The file's time is that of its last use, unless it was used since the time was read.
    const isUsedSince = this.#entries.get(base)?.usedMs !== usedBeforeMs;
    const lastUseMs = isUsedSince || part !== "wasm" ? undefined : status.mtimeMs;
    this.#record(base, part, status.size, lastUseMs);
    return base;
  }

  /** @param sha256 of the part, when it was verified */
  #record(base: string, part: CachedPart, bytes: number, usedMs?: number, sha256?: string): void {
    let entry = this.#entries.get(base);
    if (entry === undefined) {
      entry = { disk: this.#disk.child(), bytes: new Map(), sha256: undefined, usedMs: 0 };
      this.#entries.set(base, entry);
    }
    if (part === "wasm" && sha256 !== undefined) entry.sha256 = sha256;
    if (part === "wasm" && !entry.bytes.has(part)) this.#countModules(1);
    if (usedMs !== undefined) entry.usedMs = usedMs;
    entry.disk.release(entry.bytes.get(part) ?? 0);
    const counted = Math.max(bytes, leastFileBytes);
    entry.disk.charge(counted);
    entry.bytes.set(part, counted);
  }

  async #takeDisk(share: Budget, bytes: number): Promise<void> {
    while (!share.tryTake(bytes)) if (!(await this.#dropOldest())) throw share.spentError();
  }

  /** @returns false when all modules are in use */
  async #dropOldest(): Promise<boolean> {
    const inUse = new Set(this.#uses.values());
    let oldest: string | undefined;
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const [base, { usedMs }] of this.#entries) {
      if (usedMs >= oldestMs || inUse.has(base)) continue;
      [oldest, oldestMs] = [base, usedMs];
    }
    if (oldest === undefined) return false;
    await this.#delete(oldest, oldestMs);
    return true;
  }

  /** Unless it was used since. */
  async #delete(base: string, usedMs: number): Promise<void> {
    await this.#changes.run(async () => {
      const entry = this.#entries.get(base);
      if (entry?.usedMs !== usedMs) return;
      for (const part of ["wasm.sha256", ...entry.bytes.keys()]) await rm(`${base}.${part}`, removal);
      this.#forget(base);
      await rmdir(dirname(base)).catch(() => undefined);
    });
  }

  #forget(base: string): void {
    const entry = this.#entries.get(base);
    if (entry === undefined) return;
    entry.disk[Symbol.dispose]();
    this.#entries.delete(base);
    if (entry.bytes.has("wasm")) this.#countModules(-1);
  }

  #countModules(change: number): void {
    this.#modules += change;
    this.#deps.metrics.wasmCacheEntries.set(this.#modules);
  }

  #base({ name, checksum }: ModuleKey): string {
    return join(this.#directory(name), checksum);
  }

  #directory(name: string): string {
    return join(this.#config.cacheDirectory, shortHash(name, 64));
  }
}

function parseFileName(name: string): { readonly checksum: string; readonly part: CachedPart } | undefined {
  const [, checksum, extension] = fileName.exec(name) ?? [];
  const part = parts.find((known) => known === extension);
  return checksum === undefined || part === undefined ? undefined : { checksum, part };
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch(() => []);
}
