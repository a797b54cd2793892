// SPDX-License-Identifier: Apache-2.0
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

const gunzipAsync = promisify(gunzip);
const blockBytes = 512;
/** Nested archives, such as gzip in tar in gzip. */
const maxLayers = 4;

export function isWasm(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && Buffer.from(bytes.subarray(0, 4)).equals(Buffer.from([0, 0x61, 0x73, 0x6d]));
}

/** The download is not a Wasm module. */
export class NoModuleError extends Error {}

/**
 * The module in a download: plain, or in gzip, tar, or both.
 * @param path the name of the file in an archive; undefined takes the first `.wasm`, or the first file
 * @throws NoModuleError when there is none; Error when an archive lacks the file, or unpacks to more than `maxBytes`
 */
export async function unpackModule(bytes: Buffer, maxBytes: number, path?: string): Promise<Buffer> {
  let current = bytes;
  for (let layer = 0; layer < maxLayers && !isWasm(current); layer++) {
    if (current[0] === 0x1f && current[1] === 0x8b) current = await gunzipAsync(current, { maxOutputLength: maxBytes });
    else if (current.subarray(257, 262).toString("latin1") === "ustar") current = findInTar(current, path);
    else break;
  }
  if (!isWasm(current)) throw new NoModuleError("the download is not a Wasm module");
  return current;
}

/** Source: POSIX, pax interchange format, ustar header */
function findInTar(tar: Buffer, path: string | undefined): Buffer {
  let first: Buffer | undefined;
  for (let at = 0; at + blockBytes <= tar.length && tar[at] !== 0; ) {
    const header = tar.subarray(at, at + blockBytes);
    const size = Number.parseInt(text(header.subarray(124, 136)).trim() || "0", 8);
    if (!Number.isSafeInteger(size) || size < 0) break;
    const content = tar.subarray(at + blockBytes, at + blockBytes + size);
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    const isFile = header[156] === 0x30 || header[156] === 0;
    if (!isFile || content.length < size) continue;
    const name = text(header.subarray(0, 100));
    const base = name.slice(name.lastIndexOf("/") + 1);
    if (path === undefined ? base.endsWith(".wasm") : base === path) return content;
    if (path === undefined) first ??= content;
  }
  if (first === undefined)
    throw new Error(path === undefined ? "the archive has no file" : `the archive has no ${path}`);
  return first;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("latin1");
}
