// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderLine } from "../../../src/lib/log/log-format.ts";
import { escapeControls } from "../../../src/lib/printable-text.ts";

const hostile = "a\u001b[31mred\u009b2Jb\u007f\r\nc\t\u2028d\u202ee\u2066f\u0000g";

test("control characters are escaped, all other text stays", () => {
  const escaped = "a\\u001b[31mred\\u009b2Jb\\u007f\\r\\nc\\t\\u2028d\\u202ee\\u2066f\\u0000g";
  expect(escapeControls(hostile)).toBe(escaped);
  for (const text of ["", "plain text, größe 日本 🙂", 'quote " and \\']) expect(escapeControls(text)).toBe(text);
});

test.each(["text", "json"] as const)(
  "no text of a peer reaches a terminal or ends a line of the log; form %s",
  (format) => {
    const line = {
      level: "info",
      time: "t",
      scope: hostile,
      msg: hostile,
      reason: hostile,
      list: [hostile],
      [hostile]: 1,
    };
    const rendered = renderLine(line, format);
    expect(rendered.endsWith("\n")).toBe(true);
    // only the separators of the text form are left
    const rest = rendered.slice(0, -1).replaceAll("\t", "");
    expect(Array.from(rest).filter((char) => escapeControls(char) !== char)).toEqual([]);
    if (format === "json") expect(JSON.parse(rendered)).toEqual(line);
  },
);

test.each(["text", "json"] as const)("a long text of a peer is cut, with its length; form %s", (format) => {
  const rendered = renderLine({ level: "info", time: "t", msg: "m", reason: "x".repeat(1_000_000) }, format);
  expect(rendered.length).toBeLessThan(5_000);
  expect(rendered).toContain("(1000000 characters)");
});
