// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import { runTasks, untilAborted } from "../async/tasks.ts";
import { shortHash } from "../content-hash.ts";
import { readTextStart } from "./bounded-read.ts";
import { watchFiles } from "./file-watch.ts";

const debounceMs = 50;
/** How often files are read without an event, while an attempt has failed: not every file system sends events. */
const readIntervalMs = 1_000;
const mostComparedBytes = 1024 * 1024;

/**
 * The files that decide whether a call can succeed: token, roots, credentials. Compares their content with that at the
 * last attempt, so that a change during the attempt counts, and a file that is only touched does not.
 */
export class CauseFiles {
  readonly #paths: readonly string[];
  readonly #clock: Clock;
  /** What they held when the last attempt began. */
  #attempted: string | undefined;

  constructor(paths: readonly string[], clock: Clock) {
    this.#paths = paths;
    this.#clock = clock;
  }

  /** Must be called before an attempt reads the files. */
  async attemptBegins(): Promise<void> {
    this.#attempted = await this.#content();
  }

  /** Resolves when the content is another one than at the last attempt, or when the signal aborts. */
  async untilChanged(signal: AbortSignal): Promise<void> {
    if (this.#paths.length === 0) {
      await untilAborted(signal);
      return;
    }
    const options = { clock: this.#clock, debounceMs, pollMs: readIntervalMs };
    for await (const _ of watchFiles(this.#paths, options, signal)) {
      const content = await this.#content();
      this.#attempted ??= content;
      if (content !== this.#attempted) return;
    }
  }

  /** Waits for the delay, or only until the content changes. @throws the signal's reason */
  async untilChangedFor(ms: number, signal: AbortSignal): Promise<void> {
    // the next attempt reads them anyway
    if (ms <= readIntervalMs) {
      await this.#clock.delay(ms, signal);
      return;
    }
    await runTasks(signal, [(either) => this.untilChanged(either), (either) => this.#clock.delay(ms, either)]);
    signal.throwIfAborted();
  }

  /** A hash: what is read may be a secret. */
  async #content(): Promise<string> {
    const texts = this.#paths.map((path) => readTextStart(path, mostComparedBytes).catch(() => undefined));
    return shortHash(JSON.stringify(await Promise.all(texts)), 32);
  }
}
