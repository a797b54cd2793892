// SPDX-License-Identifier: Apache-2.0
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type ModuleSink, unpackModule } from "../../../../src/xds/wasm/unpack.ts";
import { fc } from "../../../support/properties.ts";
import { tarOf } from "../../../support/tar.ts";

/** As an HTTP body comes, in chunks of any size. */
async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

/** The module in a download whose unpacked layers are at most `maxBytes` each. */
async function unpack(bytes: Uint8Array, maxBytes: number, path?: string, chunkBytes = 100): Promise<Buffer> {
  let written: Uint8Array[] = [];
  const sink: ModuleSink = {
    write: (chunk) => {
      written.push(Buffer.from(chunk));
      return Promise.resolve();
    },
    restart: () => {
      written = [];
      return Promise.resolve();
    },
  };
  const onUnpacked = (total: number): void => {
    if (total > maxBytes) throw new Error("too large");
  };
  await unpackModule(chunked(bytes, chunkBytes), sink, { path, onUnpacked });
  return Buffer.concat(written);
}

const wasm = Buffer.concat([Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), Buffer.from("module")]);
const readme = Buffer.from("read me");

test.each<[string, Buffer]>([
  ["plain", wasm],
  ["gzip", gzipSync(wasm)],
  ["tar", tarOf([["m.wasm", wasm]])],
  ["tar in gzip", gzipSync(tarOf([["m.wasm", wasm]]))],
  [
    "tar with a directory and another file first",
    tarOf([
      ["dir/", Buffer.alloc(0)],
      ["README", readme],
      ["dir/m.wasm", wasm],
    ]),
  ],
  ["tar with one file of another name", tarOf([["module", wasm]])],
])("7.3.9: the module comes out of %s", async (_form, bytes) => {
  await expect(unpack(bytes, 10_000)).resolves.toEqual(wasm);
});

test("plugin.wasm is found anywhere in an image's layer", async () => {
  const layer = gzipSync(
    tarOf([
      ["other.wasm", wasm.subarray(0, 8)],
      ["./plugin.wasm", wasm],
    ]),
  );
  await expect(unpack(layer, 10_000, "plugin.wasm")).resolves.toEqual(wasm);
  await expect(unpack(gzipSync(tarOf([["other.wasm", wasm]])), 10_000, "plugin.wasm")).rejects.toThrow(
    "no plugin.wasm",
  );
});

test("an archive without a module, or one that unpacks to too much, is rejected", async () => {
  await expect(unpack(readme, 1_000)).rejects.toThrow("not a Wasm module");
  await expect(unpack(tarOf([]), 10_000)).rejects.toThrow();
  const long = gzipSync(Buffer.concat([wasm, Buffer.alloc(5_000)]));
  await expect(unpack(long, 5_000)).rejects.toThrow();
  await expect(unpack(long, 5_000 + wasm.length)).resolves.toHaveLength(5_000 + wasm.length);
});

test("for any bytes, unpacking ends", async () => {
  const bytes = fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array));
  await fc.assert(
    fc.asyncProperty(bytes, fc.boolean(), async (content, inTar) => {
      await unpack(inTar ? Buffer.concat([tarOf([["a", content]]).subarray(0, 700), content]) : content, 10_000).catch(
        () => undefined,
      );
    }),
    { numRuns: 500 },
  );
});
