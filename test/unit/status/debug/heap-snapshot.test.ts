// SPDX-License-Identifier: Apache-2.0
import { Readable } from "node:stream";
import { json, text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { HeapRedaction } from "../../../../src/status/debug/heap-snapshot.ts";

const strings = ["", "Config", "token", "s.AbCd", 'pa$$w0rd!"\\', "render", "a+b", "größe", "(concatenated string)"];
const meta = {
  node_fields: ["type", "name", "id", "self_size", "edge_count", "detachedness"],
  node_types: [["hidden", "string", "object", "closure", "regexp", "concatenated string"], "string"],
  edge_fields: ["type", "name_or_index", "to_node"],
  edge_types: [["context", "element", "property"], "string_or_number", "node"],
};
/** An object of class Config whose property `token` is a string; a function; a pattern; a string in an array. */
const snapshot = JSON.stringify({
  snapshot: { meta, node_count: 6, edge_count: 3 },
  nodes: [
    2, 1, 1, 16, 1, 0, 1, 3, 3, 16, 0, 0, 3, 5, 5, 16, 2, 0, 4, 6, 7, 16, 0, 0, 1, 4, 9, 16, 0, 0, 5, 8, 11, 9, 0, 0,
  ],
  edges: [2, 2, 6, 1, 3, 24, 0, 7, 24],
  locations: [6, 3, 4, 5],
  strings,
});

test.each([1, 2, 5, 17, 10_000])("a heap snapshot in chunks of %s bytes keeps names, and no value", async (size) => {
  const bytes = Buffer.from(snapshot);
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
    bytes.subarray(n * size, (n + 1) * size),
  );
  expect(await json(Readable.from(chunks).pipe(new HeapRedaction()))).toEqual({
    ...(JSON.parse(snapshot) as object),
    strings: ["", "Config", "token", "", "", "render", "", "größe", ""],
  });
});

test.each(["", '{"snapshot":{"meta":{}},\n"nodes":[1]}', `{"snapshot":"${"x".repeat(70_000)}"}`])(
  "a heap snapshot of an unknown format is not passed on: %#",
  async (unknown) => {
    const read = text(Readable.from([Buffer.from(unknown)]).pipe(new HeapRedaction()));
    if (unknown === "") expect(await read).toBe("");
    else await expect(read).rejects.toThrow();
  },
);
