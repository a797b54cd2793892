// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { describeError, systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { splitPem } from "../lib/pki/pem.ts";
import { CertFileError, type FileFollowOptions, followFiles } from "./cert-files.ts";

/**
 * The revocation list in a file, as PEM; undefined while there is no file. Yields at once and after each change. A file
 * that is not a list is complained about, and the list before it stays in force.
 */
export async function* watchRevocationList(
  path: string,
  deps: FileFollowOptions & { readonly log: Logger },
  signal: AbortSignal,
): AsyncGenerator<string | undefined, void, undefined> {
  let isFirst = true;
  const files = { paths: [path], read: readIfThere, parse: ([text]: readonly string[]) => parseList(path, text) };
  for await (const read of followFiles(files, deps, signal)) {
    if ("value" in read) yield read.value;
    else {
      deps.log.error("the revocation list cannot be used; the one before it stays", {
        error: describeError(read.error),
      });
      if (isFirst) yield undefined;
    }
    isFirst = false;
  }
}

/** No text where there is no file. */
async function readIfThere([path = ""]: readonly string[]): Promise<readonly string[]> {
  try {
    return [await readFile(path, "utf8")];
  } catch (cause) {
    if (systemCode(cause) === "ENOENT" || systemCode(cause) === "ENOTDIR") return [];
    throw new CertFileError(path, "it cannot be read", cause);
  }
}

function parseList(path: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const { blocks, problem } = splitPem(text);
  if (problem !== undefined || blocks.length === 0 || blocks.some((block) => block.label !== "X509 CRL")) {
    throw new CertFileError(
      path,
      `it is not a revocation list: ${problem ?? "X509 CRL blocks are needed, and nothing else"}`,
    );
  }
  return blocks.map((block) => block.pem).join("");
}
