// SPDX-License-Identifier: Apache-2.0

const blockBytes = 512;
/** Source: the size field of ustar, eleven octal digits */
const mostFileBytes = 8 ** 11 - 1;

/** A file of an archive. */
export interface TarFile {
  /** With slashes; at most 100 bytes behind the last directory that fits into 155 bytes. */
  readonly name: string;
  readonly bytes: number;
  readonly modifiedAtMs: number;
  /** As many bytes as `bytes` says. */
  readonly chunks: () => Iterable<Uint8Array>;
}

/**
 * An archive of files with mode 0600, in pieces.
 * @throws Error for a name or a size that the format has no place for, or content of another size
 * Source: POSIX.1-1988, ustar interchange format
 */
export function* writeTar(files: Iterable<TarFile>): Generator<Uint8Array> {
  for (const file of files) {
    yield renderHeader(file);
    let written = 0;
    for (const chunk of file.chunks()) {
      written += chunk.length;
      yield chunk;
    }
    if (written !== file.bytes) throw new Error(`${file.name} has ${String(written)} bytes, not ${String(file.bytes)}`);
    const padding = (blockBytes - (written % blockBytes)) % blockBytes;
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield Buffer.alloc(2 * blockBytes);
}

function renderHeader({ name, bytes, modifiedAtMs }: TarFile): Buffer {
  if (bytes > mostFileBytes) throw new Error(`${name} is too large for an archive`);
  const [prefix, base] = splitName(name);
  const header = Buffer.alloc(blockBytes);
  header.write(base, 0, 100, "utf8");
  header.write("0000600\0", 100, "latin1");
  header.write("0000000\0", 108, "latin1");
  header.write("0000000\0", 116, "latin1");
  header.write(`${octal(bytes)}\0`, 124, "latin1");
  header.write(`${octal(Math.floor(modifiedAtMs / 1_000))}\0`, 136, "latin1");
  header.write(" ".repeat(8), 148, "latin1");
  header.write("0", 156, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  header.write(prefix, 345, 155, "utf8");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function octal(number: number): string {
  return number.toString(8).padStart(11, "0");
}

function splitName(name: string): readonly [prefix: string, base: string] {
  if (Buffer.byteLength(name) <= 100) return ["", name];
  for (let slash = name.lastIndexOf("/"); slash > 0; slash = name.lastIndexOf("/", slash - 1)) {
    const [prefix, base] = [name.slice(0, slash), name.slice(slash + 1)];
    if (Buffer.byteLength(base) > 100) break;
    if (Buffer.byteLength(prefix) <= 155) return [prefix, base];
  }
  throw new Error(`${name} is too long for the name of a file in an archive`);
}
