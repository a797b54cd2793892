// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { systemCode } from "../lib/errors.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import type { Budgets } from "../model/limits.ts";
import { CertFileError } from "./errors.ts";

export interface FileFollowOptions {
  readonly clock: Clock;
  /** How long files must be unchanged before they are read again. `FILE_DEBOUNCE_DURATION` */
  readonly debounceMs: number;
  readonly budgets: Budgets;
}

/** What was read, or why it is not usable. */
export type Read<T> = { readonly value: T } | { readonly error: Error };

/** Files, and how they are read and parsed. */
export interface FollowedFiles<T> {
  readonly paths: readonly string[];
  /** The files' texts. @throws Error when one cannot be read */
  readonly read: (paths: readonly string[]) => Promise<readonly string[]>;
  /** Called for changed texts only, since parsing certificates blocks the event loop. @throws Error for unusable texts */
  readonly parse: (texts: readonly string[]) => T;
}

const pollMs = 30_000;

/** Reads at once and after each change of the files; yields what is parsed, or an error, each time that it differs. */
export async function* followFiles<T>(
  { paths, read, parse }: FollowedFiles<T>,
  { clock, debounceMs }: FileFollowOptions,
  signal: AbortSignal,
): AsyncGenerator<Read<T>, void, undefined> {
  let last: string | undefined;
  for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
    const texts = await attempt(() => read(paths));
    const content = "value" in texts ? ["texts", ...texts.value].join("\0") : `error ${texts.error.message}`;
    if (content === last) continue;
    last = content;
    yield "value" in texts ? await attempt(() => parse(texts.value)) : texts;
  }
}

/** One text for each file. @throws CertFileError */
export async function readTexts(paths: readonly string[], budgets: Budgets): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const path of paths) {
    const text = await readText(path, budgets);
    if (text.trim() === "") throw new CertFileError(path, "it is empty");
    texts.push(text);
  }
  return texts;
}

/** The text of one file. @throws CertFileError */
export async function readText(path: string, budgets: Budgets): Promise<string> {
  try {
    return await readTextFile(path, budgets.of("certificate-file-bytes").size);
  } catch (cause) {
    const isMissing = systemCode(cause) === "ENOENT" || systemCode(cause) === "ENOTDIR";
    throw new CertFileError(path, isMissing ? "it does not exist" : "it cannot be read", cause);
  }
}

async function attempt<T>(read: () => T | Promise<T>): Promise<Read<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}
