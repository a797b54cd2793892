// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { readTextStart } from "../../../lib/fs/bounded-read.ts";
import { usualShare, usualTimeoutMs } from "./http-part.ts";
import { type Part, PartSkippedError } from "./part.ts";

const mostFileBytes = 4 * 1024 * 1024;
/** Of a log: its end. */
const mostLogBytes = 1024 * 1024;
const mostReports = 3;

type FileFacts = Pick<Part, "file" | "about" | "form"> & { readonly path: string };

/** A file as it is, up to 4 MiB. */
export function filePart({ path, ...facts }: FileFacts): Part {
  return {
    ...facts,
    source: path,
    timeoutMs: usualTimeoutMs,
    share: usualShare,
    read: async (sink) => {
      sink(await orSkip(path, readTextStart(path, mostFileBytes)));
    },
  };
}

/** The end of a log file. */
export function logPart(path: string): Part {
  return {
    file: `logs/${safeName(path)}`,
    about: "the end of the log",
    form: "text",
    source: path,
    timeoutMs: usualTimeoutMs,
    share: usualShare,
    read: async (sink) => {
      sink(await orSkip(path, readEnd(path)));
    },
  };
}

/** The newest crash reports of a directory, and what the engine wrote when it aborted. */
export async function reportParts(directories: readonly string[]): Promise<readonly Part[]> {
  const found = await Promise.all(
    [...new Set(directories)].map(async (directory) => {
      const names = (await readdir(directory).catch(() => [])).filter((name) =>
        /^attache-[\w.-]{1,100}\.json$/.test(name),
      );
      return names
        .sort()
        .slice(-mostReports)
        .map((name) => join(directory, name));
    }),
  );
  return found
    .flat()
    .map((path) => filePart({ file: `crash/${safeName(path)}`, about: "report of a crash", form: "json", path }));
}

/** Whole lines, as many as fit. */
async function readEnd(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const status = await file.stat();
  if (!status.isFile()) throw new PartSkippedError(`${path} is not a file`);
  const start = Math.max(0, status.size - mostLogBytes);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(status.size, mostLogBytes)), 0, undefined, start);
  const text = buffer.toString("utf8", 0, bytesRead);
  return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
}

async function orSkip(path: string, text: Promise<string>): Promise<string> {
  try {
    const found = await text;
    if (found === "") throw new PartSkippedError(`${path} is empty`);
    return found;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") throw new PartSkippedError(`there is no ${path}`);
    throw error instanceof PartSkippedError ? error : new Error(describeError(error), { cause: error });
  }
}

/** A name for the archive. */
export function safeName(path: string): string {
  return (
    basename(path)
      .replaceAll(/[^\w.-]/g, "_")
      .slice(0, 80) || "file"
  );
}
