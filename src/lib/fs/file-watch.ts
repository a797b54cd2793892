// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, watch } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { basename, isAbsolute, join, parse, resolve, sep } from "node:path";
import type { Clock } from "../async/clock.ts";

export interface FileWatchOptions {
  readonly clock: Clock;
  /** Wait after an event before it is reported: one replacement causes several events. */
  readonly debounceMs: number;
  /** Also reports after this long without an event, for file systems that send none. Never unless given. */
  readonly pollMs?: number;
  /** Called when the system cannot watch a directory; then only the poll sees its changes. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Why a watch reports: it has started, an event arrived, or the poll is due, in which case nothing may have changed.
 */
export type WatchReport = "start" | "event" | "poll";

/** Longer chains of symbolic links are not followed; this also ends a loop of links. Linux has the same limit. */
const longestChain = 40;

/**
 * Yields at once, and again after each event that may change the content of the paths: a write, a replacement, a
 * symbolic link anywhere along the path, a directory that appears or is removed. The reader finds out what changed.
 * Directories are watched, not files, so that a replaced file is not missed. docs/adr/0011-file-watching.md says why
 * this is not a library.
 * @param paths files, which need not exist, and directories, whose entries are watched
 */
export async function* watchFiles(
  paths: readonly string[],
  options: FileWatchOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchReport, void, undefined> {
  using watchers = new FolderWatchers(options.onError);
  const absolute = paths.map((path) => resolve(path));
  for (let report: WatchReport = "start"; !signal.aborted; ) {
    // Watching starts before the reader reads, so that no change is missed in between.
    await watchers.follow(await foldersOf(absolute));
    const event = watchers.nextEvent();
    yield report;
    report = await untilEventOrPoll(event, options, signal);
    if (report === "event") await pause(options.clock, options.debounceMs, signal);
  }
}

/** Also returns when the signal aborts. */
async function untilEventOrPoll(
  event: Promise<undefined>,
  { clock, pollMs = Number.POSITIVE_INFINITY }: FileWatchOptions,
  signal: AbortSignal,
): Promise<"event" | "poll"> {
  const done = new AbortController();
  const poll = pause(clock, pollMs, AbortSignal.any([signal, done.signal]));
  try {
    return await Promise.race([event.then(() => "event" as const), poll.then(() => "poll" as const)]);
  } finally {
    done.abort();
  }
}

/** Waits; returns early when the signal aborts. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.delay(ms, signal).catch(() => undefined);
}

/** Every directory whose entries affect the content of the paths. */
async function foldersOf(paths: readonly string[]): Promise<ReadonlySet<string>> {
  const folders = new Set<string>();
  for (const path of paths) await walk(path, folders);
  return folders;
}

/** Walks from the root to the path, through each symbolic link. */
async function walk(path: string, folders: Set<string>): Promise<void> {
  let waiting = partsOf(path);
  let reached = parse(path).root;
  for (let links = 0; ; ) {
    const [name, ...rest] = waiting;
    if (name === undefined) return;
    const next = join(reached, name);
    const found = await lstat(next).catch(() => undefined);
    if (found === undefined || rest.length === 0) folders.add(reached);
    if (found === undefined) return;
    if (found.isSymbolicLink()) {
      folders.add(reached);
      if (++links > longestChain) return;
      const target = await readlink(next).catch(() => "");
      const absolute = isAbsolute(target) ? target : resolve(reached, target);
      waiting = [...partsOf(absolute), ...rest];
      reached = parse(absolute).root;
    } else {
      if (rest.length === 0 && found.isDirectory()) folders.add(next);
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

interface WatchedFolder {
  readonly watcher: FSWatcher;
  readonly inode: bigint;
  /** An event named the directory itself: it may have been removed, which ends its watch. */
  isSuspect: boolean;
}

class FolderWatchers implements Disposable {
  readonly #watched = new Map<string, WatchedFolder>();
  /** Directories whose failure was reported. */
  readonly #failed = new Set<string>();
  readonly #onError: ((error: unknown) => void) | undefined;
  #event = Promise.withResolvers<undefined>();

  constructor(onError: ((error: unknown) => void) | undefined) {
    this.#onError = onError;
  }

  /** Resolves at the next event after the last call of `follow`. */
  nextEvent(): Promise<undefined> {
    return this.#event.promise;
  }

  /** Watches these directories and no others. A directory that was replaced by another one gets a new watch. */
  async follow(folders: ReadonlySet<string>): Promise<void> {
    this.#event = Promise.withResolvers<undefined>();
    for (const path of this.#watched.keys()) {
      if (!folders.has(path)) this.#close(path);
    }
    for (const path of folders) await this.#watch(path);
  }

  [Symbol.dispose](): void {
    for (const path of this.#watched.keys()) this.#close(path);
  }

  async #watch(path: string): Promise<void> {
    const inode = (await lstat(path, { bigint: true }).catch(() => undefined))?.ino;
    const known = this.#watched.get(path);
    // A directory that is removed and created again may have its old inode number (observed with ext4).
    if (known !== undefined && known.inode === inode && !known.isSuspect) return;
    this.#close(path);
    if (inode === undefined) return;
    try {
      const watcher = watch(path, { persistent: false });
      const folder: WatchedFolder = { watcher, inode, isSuspect: false };
      watcher.on("change", (_kind, name) => {
        if (name === basename(path)) folder.isSuspect = true;
        this.#event.resolve(undefined);
      });
      watcher.on("error", (error) => {
        this.#report(path, error);
        folder.isSuspect = true;
        this.#event.resolve(undefined);
      });
      this.#watched.set(path, folder);
    } catch (error) {
      // The system's limit of watches is reached, or the directory is not readable: the poll still sees changes.
      this.#report(path, error);
    }
  }

  #report(path: string, error: unknown): void {
    if (this.#failed.has(path)) return;
    this.#failed.add(path);
    this.#onError?.(error);
  }

  #close(path: string): void {
    this.#watched.get(path)?.watcher.close();
    this.#watched.delete(path);
  }
}
