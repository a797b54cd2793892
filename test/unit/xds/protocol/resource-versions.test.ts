// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { PackedResourceVersions, type ResourceVersion } from "../../../../src/xds/protocol/resource-versions.ts";
import { fc } from "../../../support/properties.ts";

function pack(resources: readonly ResourceVersion[]): PackedResourceVersions {
  const packed = new PackedResourceVersions();
  for (const { name, version } of resources) {
    const bytes = Buffer.from(`${name}${version}`);
    const nameEnd = Buffer.byteLength(name);
    packed.setVersion(bytes, nameEnd, bytes.length);
    packed.setName(bytes, 0, nameEnd);
    packed.end();
  }
  return packed;
}

test("packed names and versions are read as they were added", () => {
  const resource = fc.record({ name: fc.string({ unit: "grapheme" }), version: fc.constantFrom("", "1", "é2") });
  fc.assert(
    fc.property(fc.array(resource, { maxLength: 40 }), (resources) => {
      const packed = pack(resources);
      expect([...packed]).toEqual(resources);
      expect(packed.length).toBe(resources.length);
    }),
  );
});

test("resources of one version take the version's memory once", () => {
  const version = "v".repeat(1_000);
  const names = Array.from({ length: 100 }, (_, index) => ({ name: `name-${String(index)}`, version }));
  expect(pack(names).textBytes).toBeLessThan(2_000);
});

test("a discarded entry leaves neither bytes nor a name to the next one", () => {
  const packed = pack([{ name: "a", version: "1" }]);
  packed.setName(Buffer.from("discarded"), 0, 9);
  packed.setVersion(Buffer.from("2"), 0, 1);
  packed.discard();
  packed.end();
  expect([...packed]).toEqual([
    { name: "a", version: "1" },
    { name: "", version: "" },
  ]);
  expect(packed.textBytes).toBe(2);
});
