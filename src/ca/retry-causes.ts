// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { untilAborted } from "../lib/async/tasks.ts";
import { shortHash } from "../lib/content-hash.ts";
import { readTextStart } from "../lib/fs/bounded-read.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import { dialTcp } from "../lib/grpc/dial.ts";
import type { CaSecurity } from "./types.ts";

// What may make a failed call succeed: a changed file, or a CA that accepts connections again.

const debounceMs = 50;
const pollMs = 30_000;
/** Together with the attempt that follows, a workload without a certificate has one within two seconds of recovery. */
const connectIntervalMs = 1_250;
const connectTimeoutMs = 2_000;

/** Resolves at the first change of any of the files from now on, or when the signal aborts. */
export async function untilFilesChange(paths: readonly string[], clock: Clock, signal: AbortSignal): Promise<void> {
  if (paths.length === 0) {
    await untilAborted(signal);
    return;
  }
  let isInitial = true;
  for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
    if (!isInitial) return;
    isInitial = false;
  }
}

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

  /** A hash: what is read may be a secret. */
  async #content(): Promise<string> {
    const texts = this.#paths.map((path) => readTextStart(path, mostComparedBytes).catch(() => undefined));
    return shortHash(JSON.stringify(await Promise.all(texts)), 32);
  }
}

/** The files that TLS with the CA depends on. */
export function tlsFilesOf(security: CaSecurity): readonly string[] {
  if (security.kind === "plaintext") return [];
  const roots = security.roots.kind === "file" ? [security.roots.path] : [];
  return security.client === undefined ? roots : [...roots, security.client.chainPath, security.client.keyPath];
}

/**
 * Resolves when a TCP connection can be made, and closes it unused: the CA pays for nothing but the accept. Waits
 * before the first connection too, because it is called after a failure to connect.
 * @throws the signal's reason
 */
export async function untilReachable(
  { host, port }: { readonly host: string; readonly port: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.delay(connectIntervalMs, signal);
    using limit = deadline(clock, connectTimeoutMs, signal);
    try {
      (await dialTcp(host, port, limit.signal)).destroy();
      return;
    } catch {
      signal.throwIfAborted();
    }
  }
}
