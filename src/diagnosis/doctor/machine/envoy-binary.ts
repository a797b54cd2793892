// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { type Clock, deadline } from "../../../lib/async/clock.ts";
import { describeError } from "../../../lib/errors.ts";
import { killGroup, ownGroup } from "../../../lib/process-group.ts";
import { shortenPeerText } from "../../../lib/printable-text.ts";
import { oneLine } from "../../../lib/trim.ts";
import { parseProgramHead, type ProgramHead } from "./elf.ts";

/** @returns undefined if this user may execute, but not read the file */
export async function readProgramHead(path: string): Promise<ProgramHead | undefined> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0);
    return parseProgramHead(buffer.subarray(0, bytesRead));
  } catch {
    return undefined;
  }
}

/** What a program says of itself. */
export type BinaryVersion =
  | { readonly kind: "version"; readonly version: string }
  | { readonly kind: "unparsable"; readonly output: string }
  | { readonly kind: "failed"; readonly problem: string };

const versionTimeoutMs = 1_500;
const mostOutput = 4_096;

/** Runs `envoy --version`, which takes some 30 ms and has no effect. */
export async function readVersion(path: string, clock: Clock, signal: AbortSignal): Promise<BinaryVersion> {
  using limit = deadline(clock, versionTimeoutMs, signal);
  const child = spawn(path, ["--version"], { ...ownGroup, stdio: ["ignore", "pipe", "pipe"], env: {} });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(0, mostOutput);
    });
  }
  const onAbort = (): void => {
    killGroup(child);
    child.stdout.destroy();
    child.stderr.destroy();
  };
  limit.signal.addEventListener("abort", onAbort, { once: true });
  const end = await new Promise<number | string>((resolve) => {
    child.once("error", (error) => resolve(describeError(error)));
    child.once("close", (code, by) => resolve(code ?? `ended by ${by ?? "a signal"}`));
  });
  limit.signal.removeEventListener("abort", onAbort);
  if (limit.signal.aborted) return { kind: "failed", problem: `no output within ${String(versionTimeoutMs)} ms` };
  const text = shortenPeerText(oneLine(output.trim()));
  if (end !== 0) {
    const how = typeof end === "number" ? `exit code ${String(end)}` : end;
    return { kind: "failed", problem: text === "" ? how : `${how}: ${text}` };
  }
  const version = parseVersion(output);
  return version === undefined ? { kind: "unparsable", output: text } : { kind: "version", version };
}

/** Of `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`; Istio's build says `1.40.1-dev`. */
export function parseVersion(output: string): string | undefined {
  return /version: [^/\s]*\/(\d+\.\d+\.\d[^/\s]*)\//.exec(output)?.[1];
}

/**
 * Which of the texts are not in a file. Envoy has some 100 MB, which takes some 60 ms.
 * @returns undefined if the file cannot be read, or not in time
 */
export async function findMissingTexts(
  path: string,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const missing = new Set(texts);
  const overlap = Math.max(...texts.map((text) => text.length)) - 1;
  let tail: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) {
      if (!Buffer.isBuffer(chunk)) return undefined;
      const seam = Buffer.concat([tail, chunk.subarray(0, overlap)]);
      for (const text of missing) if (chunk.includes(text) || seam.includes(text)) missing.delete(text);
      if (missing.size === 0) break;
      tail = chunk.subarray(-overlap);
    }
    return [...missing];
  } catch {
    return undefined;
  }
}
