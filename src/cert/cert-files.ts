// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/clock.ts";
import { AgentError, systemCode } from "../lib/errors.ts";
import { watchFiles } from "../lib/file-watch.ts";

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

/**
 * Reads at once and after each change of the files, and yields what is different from the time before: a value with
 * another content, or another complaint.
 * @param contentOf what makes two values the same
 */
export async function* followFiles<T>(
  paths: readonly string[],
  read: () => Promise<T>,
  contentOf: (value: T) => string,
  { clock, debounceMs }: FileFollowOptions,
  signal: AbortSignal,
): AsyncGenerator<Read<T>, void, undefined> {
  let last: string | undefined;
  for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
    const result = await attempt(read);
    const content = "value" in result ? `value ${contentOf(result.value)}` : `error ${result.error.message}`;
    if (content === last) continue;
    last = content;
    yield result;
  }
}

/** @throws CertFileError */
export async function readText(path: string): Promise<string> {
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

async function attempt<T>(read: () => Promise<T>): Promise<Read<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}
