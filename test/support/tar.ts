// SPDX-License-Identifier: Apache-2.0

/** A tar archive of the given entries; a name that ends with a slash is a directory. */
export function tarOf(entries: readonly (readonly [name: string, content: Uint8Array])[]): Buffer {
  const blocks = entries.flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0, "latin1");
    header.write("0000644\0", 100, "latin1");
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
    header.write(name.endsWith("/") ? "5" : "0", 156, "latin1");
    header.write("ustar\0", 257, "latin1");
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
    return [header, Buffer.from(content), padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1_024)]);
}
