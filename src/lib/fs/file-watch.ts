// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, watch } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { isAbsolute, join, parse, resolve, sep } from "node:path";
import type { Clock } from "../async/clock.ts";

export interface FileWatchOptions {
  readonly clock: Clock;
  /** Quiet time after an event before it is told: a swap is several events. */
  readonly debounceMs: number;
  /** Told also after this long without an event, for file systems that send none. */
  readonly pollMs: number;
}

/** No chain of symbolic links is longer; a loop of links ends here. */
const longestChain = 40;

/**
 * Yields at once, and again whenever something about the files may have changed: content, replacement, a symbolic link
 * anywhere on the way to them, a folder that comes or goes. What changed is for the reader to find out. Directories are
 * watched, never files, so that replaced files and folders are not lost.
 * @param paths of files that need not exist
 */
export async function* watchFiles(
  paths: readonly string[],
  options: FileWatchOptions,
  signal: AbortSignal,
): AsyncGenerator<void, void, undefined> {
  using watchers = new DirectoryWatchers();
  while (!signal.aborted) {
    // Watching starts before the reader reads, so that no change falls between.
    await watchers.follow(await directoriesOf(paths));
    const changed = watchers.nextEvent();
    yield;
    if (await isFirst(changed, options, signal)) await pause(options.clock, options.debounceMs, signal);
  }
}

/** Whether the event came before the time of the next poll and before the end. */
async function isFirst(event: Promise<undefined>, options: FileWatchOptions, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const poll = pause(options.clock, options.pollMs, AbortSignal.any([signal, over.signal]));
  try {
    return await Promise.race([event.then(() => true), poll.then(() => false)]);
  } finally {
    over.abort();
  }
}

/** Waits; never throws. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.delay(ms, signal).catch(() => undefined);
}

/** Each directory whose entries decide what a reader of the paths sees. */
async function directoriesOf(paths: readonly string[]): Promise<ReadonlySet<string>> {
  const directories = new Set<string>();
  for (const path of paths) await walk(resolve(path), directories);
  return directories;
}

/** Goes from the root to the file; at a symbolic link, on to what it points at. */
async function walk(path: string, directories: Set<string>): Promise<void> {
  let waiting = partsOf(path);
  let reached = parse(path).root;
  for (let links = 0; ; ) {
    const [name, ...rest] = waiting;
    if (name === undefined) return;
    const next = join(reached, name);
    const found = await lstat(next).catch(() => undefined);
    if (found === undefined || rest.length === 0) directories.add(reached);
    if (found === undefined) return;
    if (found.isSymbolicLink()) {
      directories.add(reached);
      if (++links > longestChain) return;
      const target = await readlink(next).catch(() => "");
      const absolute = isAbsolute(target) ? target : resolve(reached, target);
      waiting = [...partsOf(absolute), ...rest];
      reached = parse(absolute).root;
    } else {
      waiting = rest;
      reached = next;
    }
  }
}

function partsOf(path: string): readonly string[] {
  return path
    .slice(parse(path).root.length)
    .split(sep)
    .filter((part) => part !== "");
}

interface WatchedDirectory {
  readonly watcher: FSWatcher;
  readonly inode: bigint;
}

class DirectoryWatchers implements Disposable {
  readonly #watched = new Map<string, WatchedDirectory>();
  #event = Promise.withResolvers<undefined>();

  /** Resolves at the next event from now on. */
  nextEvent(): Promise<undefined> {
    return this.#event.promise;
  }

  /** Watches these directories and no others. One that was replaced by another of its name is watched anew. */
  async follow(directories: ReadonlySet<string>): Promise<void> {
    this.#event = Promise.withResolvers<undefined>();
    for (const [path, { watcher }] of this.#watched) {
      if (directories.has(path)) continue;
      watcher.close();
      this.#watched.delete(path);
    }
    for (const path of directories) await this.#watch(path);
  }

  [Symbol.dispose](): void {
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  async #watch(path: string): Promise<void> {
    const inode = (await lstat(path, { bigint: true }).catch(() => undefined))?.ino;
    const known = this.#watched.get(path);
    if (known !== undefined && known.inode === inode) return;
    known?.watcher.close();
    this.#watched.delete(path);
    if (inode === undefined) return;
    const onEvent = (): void => {
      this.#event.resolve(undefined);
    };
    try {
      const watcher = watch(path, { persistent: false }, onEvent);
      watcher.on("error", onEvent);
      this.#watched.set(path, { watcher, inode });
    } catch {
      // No watches left, or no right to read the directory: the slow poll still sees changes.
    }
  }
}
