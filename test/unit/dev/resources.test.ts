// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderResource } from "../../../src/dev/resources.ts";

test("placeholders are filled in, and comments may show them", () => {
  const template = "# ${PORT} and ${ANYTHING}\nport: ${PORT}\n  # ${MORE}\nagain: ${PORT}\n";
  expect(renderResource("lds.yaml", template, { PORT: "7" })).toBe("port: 7\nagain: 7\n");
});

test("a placeholder that does not exist is named, with those that do", () => {
  expect(() => renderResource("web/lds.yaml", "port: ${PROT}", { PORT: "7", DIRECTORY: "/x" })).toThrow(
    "read Envoy resources from web/lds.yaml: there is no placeholder ${PROT}; those there are: DIRECTORY, PORT",
  );
});
