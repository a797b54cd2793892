// SPDX-License-Identifier: Apache-2.0
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { ArchiveOutput } from "./archive-file.ts";
import { type TarFile, writeTar } from "./tar.ts";

/** Writes a tar.gz as fast as it is taken. @returns its size in bytes */
export async function writeArchive(files: readonly TarFile[], output: ArchiveOutput): Promise<number> {
  let bytes = 0;
  const sink = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      output.write(chunk).then(
        () => {
          done();
        },
        (error: unknown) => {
          done(error instanceof Error ? error : new Error(String(error)));
        },
      );
    },
  });
  await pipeline(Readable.from(writeTar(files), { objectMode: false }), createGzip(), sink);
  return bytes;
}
