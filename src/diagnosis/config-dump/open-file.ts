// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { describeError, systemCode } from "../../lib/errors.ts";
import { BundleSource } from "./bundle-source.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import type { DumpSource } from "./dump-source.ts";
import { FileSource } from "./file-source.ts";
import { tooLarge } from "./open-source.ts";

/**
 * A saved document, or an archive of `attache bundle`.
 * @param path `-`: standard input, which can be read once
 */
export async function openFile(path: string, mostBytes: number): Promise<DumpSource> {
  const name = path === "-" ? "standard input" : path;
  if (path !== "-" && (await isCompressed(path))) return new BundleSource(path, mostBytes);
  return new FileSource(name, () => limited(path === "-" ? process.stdin : createReadStream(path), name, mostBytes));
}

async function* limited(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  mostBytes: number,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw tooLarge(name, mostBytes);
      yield chunk;
    }
  } catch (error) {
    if (systemCode(error) === undefined || error instanceof ConfigDumpError) throw error;
    throw new ConfigDumpError("unreachable", `read ${name}: ${describeError(error)}`, error);
  }
}

/** False for a file that cannot be read; reading it reports the error. What a shell passes as `<(command)` can be read only once. */
async function isCompressed(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await using file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(gzipStart.length));
    return buffer.equals(gzipStart);
  } catch {
    return false;
  }
}

/** Source: RFC 1952 section 2.3.1 */
const gzipStart = Buffer.from([0x1f, 0x8b]);
