// SPDX-License-Identifier: Apache-2.0
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { ByteReader } from "./byte-reader.ts";

const blockBytes = 512;
const gunzipChunkBytes = 64 * 1024;
/** Nested archives, such as gzip in tar in gzip. */
const maxLayers = 4;
/** Enough to tell a module, gzip and tar from each other. */
const headBytes = 262;

const wasmMagic = Buffer.from([0, 0x61, 0x73, 0x6d]);

/** @param head the first eight bytes, or more */
export function isWasm(head: Uint8Array): boolean {
  return head.length >= 8 && wasmMagic.equals(head.subarray(0, 4));
}

/** The download cannot be unpacked. */
export class UnpackError extends Error {}

/** The download is not a Wasm module. */
export class NoModuleError extends UnpackError {}

/** Where the module goes. What these throw ends the unpacking. */
export interface ModuleSink {
  write(chunk: Uint8Array): Promise<void>;
  /** Discards what was written: it was no module, or there is a better one. */
  restart(): Promise<void>;
}

export interface UnpackOptions {
  /** The name of the file in an archive; undefined takes the first `.wasm`, or the first file. */
  readonly path?: string | undefined;
  /** Called while gzip is unpacked, with the bytes so far; throws when they are too many. */
  readonly onUnpacked: (bytes: number) => void;
}

/**
 * Writes the module in a download, which is plain, or in gzip, tar, or both. Only a few chunks are in memory.
 * @throws NoModuleError when there is none; UnpackError when an archive is damaged or lacks the file; what the source,
 * the sink and `onUnpacked` throw
 */
export async function unpackModule(
  source: AsyncIterable<Uint8Array, void, undefined>,
  sink: ModuleSink,
  options: UnpackOptions,
): Promise<void> {
  await unpackLayer(new ByteReader(source), { sink, options, layer: 0 });
}

interface Unpacking {
  readonly sink: ModuleSink;
  readonly options: UnpackOptions;
  readonly layer: number;
}

async function unpackLayer(reader: ByteReader, unpacking: Unpacking): Promise<void> {
  const { sink, layer } = unpacking;
  const head = await reader.peek(headBytes);
  if (isWasm(head)) {
    for await (const chunk of reader.chunks()) await sink.write(chunk);
    return;
  }
  const inner = { ...unpacking, layer: layer + 1 };
  const isNested = layer < maxLayers;
  if (isNested && head[0] === 0x1f && head[1] === 0x8b) await unpackGzip(reader, inner);
  else if (isNested && Buffer.from(head).toString("latin1", 257, 262) === "ustar") await unpackTar(reader, inner);
  else throw new NoModuleError("the download is not a Wasm module");
}

async function unpackGzip(reader: ByteReader, unpacking: Unpacking): Promise<void> {
  const { onUnpacked } = unpacking.options;
  async function* counted(unpacked: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let bytes = 0;
    for await (const chunk of unpacked) {
      bytes += chunk.length;
      onUnpacked(bytes);
      yield chunk;
    }
  }
  try {
    await pipeline(
      reader.chunks(),
      createGunzip({ chunkSize: gunzipChunkBytes }),
      async (unpacked: AsyncIterable<Uint8Array>) => {
        const inner = new ByteReader(counted(unpacked));
        await unpackLayer(inner, unpacking);
        for await (const _rest of inner.chunks());
      },
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && String(error.code).startsWith("Z_")) {
      throw new UnpackError("the download is not valid gzip", { cause: error });
    }
    throw error;
  }
}

/** Source: POSIX, pax interchange format, ustar header */
async function unpackTar(reader: ByteReader, unpacking: Unpacking): Promise<void> {
  const { path } = unpacking.options;
  let first: { readonly problem: UnpackError | undefined } | undefined;
  for (;;) {
    const entry = parseHeader(await reader.read(blockBytes));
    if (entry === undefined) break;
    const { size, isFile, name } = entry;
    const content = reader.chunks(size);
    const isNamed = isFile && (path === undefined ? name.endsWith(".wasm") : name === path);
    if (isNamed) {
      if (first !== undefined) await unpacking.sink.restart();
      await unpackEntry(content, size, unpacking);
      return;
    }
    if (isFile && path === undefined && first === undefined) {
      first = { problem: await problemOf(unpackEntry(content, size, unpacking)) };
    }
    for await (const _rest of content);
    await reader.read((blockBytes - (size % blockBytes)) % blockBytes);
  }
  if (first === undefined) {
    throw new UnpackError(path === undefined ? "the archive has no file" : `the archive has no ${path}`);
  }
  if (first.problem !== undefined) throw first.problem;
}

async function unpackEntry(content: AsyncIterable<Uint8Array>, size: number, unpacking: Unpacking): Promise<void> {
  let received = 0;
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of content) {
      received += chunk.length;
      yield chunk;
    }
  }
  const reader = new ByteReader(counted());
  await unpackLayer(reader, unpacking);
  for await (const _rest of reader.chunks());
  if (received < size) throw new UnpackError("the archive is cut off");
}

async function problemOf(unpacked: Promise<void>): Promise<UnpackError | undefined> {
  try {
    await unpacked;
    return undefined;
  } catch (error) {
    if (error instanceof UnpackError) return error;
    throw error;
  }
}

/** Undefined at the end of the archive, and for what is no header. */
function parseHeader(
  header: Uint8Array,
): { readonly size: number; readonly isFile: boolean; readonly name: string } | undefined {
  if (header.length < blockBytes || header[0] === 0) return undefined;
  const size = Number.parseInt(text(header.subarray(124, 136)).trim() || "0", 8);
  if (!Number.isSafeInteger(size) || size < 0) return undefined;
  const path = text(header.subarray(0, 100));
  const isFile = header[156] === 0x30 || header[156] === 0;
  return { size, isFile, name: path.slice(path.lastIndexOf("/") + 1) };
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("latin1");
}
