// SPDX-License-Identifier: Apache-2.0
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { unpackModule } from "../../../../src/xds/wasm/unpack.ts";
import { fc } from "../../../support/properties.ts";
import { tarOf } from "../../../support/tar.ts";

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
  await expect(unpackModule(bytes, 10_000)).resolves.toEqual(wasm);
});

test("plugin.wasm is found anywhere in an image's layer", async () => {
  const layer = gzipSync(
    tarOf([
      ["other.wasm", wasm.subarray(0, 8)],
      ["./plugin.wasm", wasm],
    ]),
  );
  await expect(unpackModule(layer, 10_000, "plugin.wasm")).resolves.toEqual(wasm);
  await expect(unpackModule(gzipSync(tarOf([["other.wasm", wasm]])), 10_000, "plugin.wasm")).rejects.toThrow(
    "no plugin.wasm",
  );
});

test("an archive without a module, or one that unpacks to too much, is rejected", async () => {
  await expect(unpackModule(readme, 1_000)).rejects.toThrow("not a Wasm module");
  await expect(unpackModule(tarOf([]), 10_000)).rejects.toThrow();
  const long = gzipSync(Buffer.concat([wasm, Buffer.alloc(5_000)]));
  await expect(unpackModule(long, 5_000)).rejects.toThrow();
  await expect(unpackModule(long, 5_000 + wasm.length)).resolves.toHaveLength(5_000 + wasm.length);
});

test("for any bytes, unpacking ends", async () => {
  const bytes = fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array));
  await fc.assert(
    fc.asyncProperty(bytes, fc.boolean(), async (content, inTar) => {
      await unpackModule(
        inTar ? Buffer.concat([tarOf([["a", content]]).subarray(0, 700), content]) : content,
        10_000,
      ).catch(() => undefined);
    }),
    { numRuns: 500 },
  );
});
