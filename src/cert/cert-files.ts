// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/async/clock.ts";
import { AgentError, systemCode } from "../lib/errors.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";

/** A file that should hold a certificate or a key cannot be used. */
export class CertFileError extends AgentError {
  readonly code = "AGENT_CERT_FILE";
  readonly path: string;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`use ${path}: ${problem}`, { cause });
    this.path = path;
  }
}

export interface FileFollowOptions {
  readonly clock: Clock;
  /** How long files must be quiet before they are read again. `FILE_DEBOUNCE_DURATION` */
  readonly debounceMs: number;
}

/** What was read, or why it cannot be used. */
export type Read<T> = { readonly value: T } | { readonly error: Error };

const pollMs = 30_000;

/** Files, and what they mean. */
export interface FollowedFiles<T> {
  readonly paths: readonly string[];
  /** The files' texts. @throws Error when one cannot be read */
  readonly read: (paths: readonly string[]) => Promise<readonly string[]>;
  /** Asked for new texts only: certificates take the event loop milliseconds. @throws Error when they cannot be used */
  readonly parse: (texts: readonly string[]) => T;
}

/** Reads at once and after each change of the files, and yields what comes of texts, or of a complaint, that are new. */
export async function* followFiles<T>(
  { paths, read, parse }: FollowedFiles<T>,
  { clock, debounceMs }: FileFollowOptions,
  signal: AbortSignal,
): AsyncGenerator<Read<T>, void, undefined> {
  let last: string | undefined;
  for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
    const texts = await attempt(() => read(paths));
    const found = "value" in texts ? ["texts", ...texts.value].join("\0") : `error ${texts.error.message}`;
    if (found === last) continue;
    last = found;
    yield "value" in texts ? await attempt(() => parse(texts.value)) : texts;
  }
}

/** One text for each file. @throws CertFileError */
export async function readTexts(paths: readonly string[]): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const path of paths) texts.push(await readText(path));
  return texts;
}

async function readText(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const problem = systemCode(cause) === "ENOENT" ? "it does not exist" : "it cannot be read";
    throw new CertFileError(path, problem, cause);
  }
  if (text.trim() === "") throw new CertFileError(path, "it is empty");
  return text;
}

async function attempt<T>(read: () => T | Promise<T>): Promise<Read<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}
