// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { AgentError } from "../errors.ts";

/** Something else than a file of usual size is at a path. */
export class UnusableFileError extends AgentError {
  readonly code = "AGENT_FILE_UNUSABLE";
  readonly path: string;
  readonly problem: string;
  constructor(path: string, problem: string) {
    super(`read ${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}

/** Kubernetes allows no larger ConfigMap or Secret. Certificates, tokens and configuration are far smaller. */
export const mostFileBytes = 1024 * 1024;

/** An open for reading returns at once, also of a pipe that no process writes to. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Reads a text file of limited size. What is at a path may have been replaced by something that never ends, or that
 * never begins: a device is read up to the limit, and a pipe is not read, because a read that waits holds one of the few
 * threads that the agent has for files, keys and names, and delays its exit.
 * @throws UnusableFileError for a pipe, and for a text that is larger; the system's error
 */
export async function readTextFile(path: string, maxBytes = mostFileBytes): Promise<string> {
  const { bytes, isWhole } = await readStart(path, maxBytes);
  if (!isWhole) throw tooLarge(path, maxBytes);
  return bytes.toString("utf8");
}

/** As `readTextFile`, but without the part that is beyond the limit. @throws UnusableFileError for a pipe */
export async function readTextStart(path: string, maxBytes: number): Promise<string> {
  return (await readStart(path, maxBytes)).bytes.toString("utf8");
}

async function readStart(
  path: string,
  maxBytes: number,
): Promise<{ readonly bytes: Buffer; readonly isWhole: boolean }> {
  // takes 2 ms to load, and nothing reads this way before Envoy's exec
  const { open } = await import("node:fs/promises");
  await using file = await open(path, flags);
  let buffer = bufferFor(path, await file.stat(), maxBytes);
  let length = 0;
  for (let read = 1; read > 0 && length <= maxBytes; length += read) {
    buffer = withSpace(buffer, length, maxBytes);
    read = (await file.read(buffer, length, buffer.length - length, null)).bytesRead;
  }
  return { bytes: buffer.subarray(0, Math.min(length, maxBytes)), isWhole: length <= maxBytes };
}

/** As `readTextFile`, for the time before Envoy's start. */
export function readTextFileSync(path: string, maxBytes = mostFileBytes): string {
  const descriptor = openSync(path, flags);
  try {
    let buffer = bufferFor(path, fstatSync(descriptor), maxBytes);
    let length = 0;
    for (let read = 1; read > 0 && length <= maxBytes; length += read) {
      buffer = withSpace(buffer, length, maxBytes);
      read = readSync(descriptor, buffer, length, buffer.length - length, null);
    }
    if (length > maxBytes) throw tooLarge(path, maxBytes);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(descriptor);
  }
}

/** One byte larger than the file, so that its end is seen without another buffer. */
function bufferFor(path: string, status: Stats, maxBytes: number): Buffer {
  if (status.isFIFO()) throw new UnusableFileError(path, "it is a pipe; it must be a file, which can be read again");
  return Buffer.allocUnsafe(Math.min(status.size + 1, maxBytes + 1));
}

const leastGrowth = 16 * 1024;

/** A file may grow while it is read, and those of the kernel are not as small as they claim. */
function withSpace(buffer: Buffer, used: number, maxBytes: number): Buffer {
  if (used < buffer.length) return buffer;
  const larger = Buffer.allocUnsafe(Math.min(maxBytes + 1, 2 * used + leastGrowth));
  buffer.copy(larger);
  return larger;
}

function tooLarge(path: string, maxBytes: number): UnusableFileError {
  return new UnusableFileError(path, `it is larger than ${String(maxBytes)} bytes`);
}
