// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { TemporaryFile } from "../../../lib/fs/temporary-file.ts";
import { BundleError } from "../bundle-error.ts";

const mode = 0o600;

/** Where the archive goes. Disposing it removes what is not complete. */
export interface ArchiveOutput extends AsyncDisposable {
  /** The path; `-` for standard output. */
  readonly name: string;
  write(bytes: Uint8Array): Promise<void>;
  /** The archive is complete, and gets its name. */
  finish(): Promise<void>;
}

/**
 * Opens the file before anything is collected, so that a directory that cannot be written to is known at once.
 * @throws BundleError
 */
export async function openArchiveFile(path: string): Promise<ArchiveOutput> {
  const directory = dirname(resolve(path));
  if (kindOf(path) === "directory") {
    throw new BundleError(`write ${path}: it is a directory; name a file in it with --file`);
  }
  if (kindOf(directory) === "absent") throw new BundleError(`write ${path}: there is no directory ${directory}`);
  let file: TemporaryFile;
  try {
    file = await TemporaryFile.create(directory, mode);
  } catch (error) {
    throw notWritable(path, directory, error);
  }
  return {
    name: path,
    async write(bytes) {
      await orFailed(path, file.write(bytes));
    },
    async finish() {
      await orFailed(path, file.moveTo(resolve(path)));
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

/** @param print writes to standard output at once */
export function standardOutput(print: (bytes: Uint8Array) => void): ArchiveOutput {
  return {
    name: "-",
    write: (bytes) => {
      print(bytes);
      return Promise.resolve();
    },
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function orFailed(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw new BundleError(`write ${path}: ${describeError(error)}`, { cause: error });
  }
}

function notWritable(path: string, directory: string, error: unknown): BundleError {
  const code = systemCode(error);
  const problem =
    code === "EROFS"
      ? `the file system of ${directory} is read-only`
      : code === "EACCES" || code === "EPERM"
        ? `this user may not write to ${directory}`
        : describeError(error);
  const place = writablePlaces().find((one) => one !== directory);
  const other =
    place === undefined ? "" : `, or to a directory that can be written to: --file ${join(place, "bundle.tar.gz")}`;
  return new BundleError(`write ${path}: ${problem}; write to standard output: --file - > bundle.tar.gz${other}`, {
    cause: error,
  });
}

/** Directories that are writable in most pods. */
function writablePlaces(): readonly string[] {
  return [...new Set([tmpdir(), "/tmp", "/etc/istio/proxy", "/var/lib/istio/data", "/dev/shm"])].filter((directory) => {
    try {
      accessSync(directory, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function kindOf(path: string): "directory" | "absent" | "other" {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    return status === undefined ? "absent" : status.isDirectory() ? "directory" : "other";
  } catch {
    // what may not be looked at: writing says why
    return "other";
  }
}
