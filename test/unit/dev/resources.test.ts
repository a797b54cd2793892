// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderResource } from "../../../src/dev/resources.ts";

test("placeholders are replaced, comments may contain them, and lines keep their numbers", () => {
  const template = "# ${PORT} and ${ANYTHING}\nport: ${PORT}\n  # ${MORE}\nagain: ${PORT}\n";
  expect(renderResource("lds.yaml", template, { PORT: "7" })).toBe("\nport: 7\n\nagain: 7\n");
});

test.each(["PROT", "constructor"])("the unknown placeholder %s is reported, with the known ones", (name) => {
  expect(() => renderResource("web/lds.yaml", `port: \${${name}}`, { PORT: "7", DIRECTORY: "/x" })).toThrow(
    `read Envoy resources from web/lds.yaml:1: unknown placeholder \${${name}}; known are DIRECTORY, PORT`,
  );
});
