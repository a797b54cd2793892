// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { BodyFilter, type LineRules } from "../../../src/metrics/body-filter.ts";
import { PartRules } from "../../../src/metrics/part-rules.ts";
import { parsePlainDeclaration } from "../../../src/metrics/plain-lines.ts";
import { testBudgets } from "../../support/budgets.ts";
import { createTestRegister } from "../../support/test-register.ts";

test("a plain declaration is read with its end, from any place of the text", () => {
  const text = "a 1\n# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n# TYPE b counter\nb 2\n";
  expect(parsePlainDeclaration(text, 4)).toEqual({ family: "up", type: "gauge", hasHelp: true, end: 48 });
  expect(parsePlainDeclaration(text, 32)).toEqual({ family: "up", type: "gauge", hasHelp: false, end: 48 });
  expect(parsePlainDeclaration(text, 53)).toEqual({ family: "b", type: "counter", hasHelp: false, end: 70 });
  expect(parsePlainDeclaration(text, 0)).toBeUndefined();
});

const otherForms = [
  "# HELP up\n# TYPE up gauge\n",
  "# HELP up \n# TYPE up gauge\n",
  "# HELP up  two spaces\n# TYPE up gauge\n",
  "# HELP up ends in a space \n# TYPE up gauge\n",
  "# HELP up ends in a return\r\n# TYPE up gauge\n",
  "# HELP up a\\b\n# TYPE up gauge\n",
  "# HELP up of another\n# TYPE down gauge\n",
  "# HELP up of a longer name\n# TYPE upper gauge\n",
  "# HELP upper of a shorter name\n# TYPE up gauge\n",
  '# TYPE "up.time" gauge\n',
  "# TYPE up Gauge\n",
  "# TYPE up gauge \n",
  "# TYPE up untyped\n",
  "# TYPE up\n",
  "# TYPE up gauge",
  "#TYPE up gauge\n",
  "# HELP up no type follows\nup 1\n",
];

test.each(otherForms)("%j is no plain declaration", (text) => {
  expect(parsePlainDeclaration(text, 0)).toBeUndefined();
});

const families = [
  "# HELP a One.\n# TYPE a counter\na 1\n",
  "# TYPE a counter\na 2\n",
  "# TYPE a gauge\na 3\n",
  "# TYPE b gauge\n# HELP b After the type.\nb 1\n",
  "# HELP b Twice.\n# TYPE b gauge\n# UNIT b seconds\nb 2\n",
  "# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 1\n",
  '# HELP d Of d.\n# HELP e Of e.\n# TYPE e histogram\ne_bucket{le="+Inf"} 1\n',
  "# HELP f Naïve.\n# TYPE f summary\nf_count 1\n",
  "# HELP g \xff\n# TYPE g gauge\ng 1\n",
  ...otherForms,
];

/** What the rules make of a body that comes in pieces. */
function filtered(body: Buffer, pieceBytes: number, kind: "text" | "openmetrics", byLine: boolean): string {
  const { register, part } = createTestRegister();
  const rules = new PartRules(register, part("app"), { from: kind, to: kind, names: "underscores" });
  const lineRules: LineRules = {
    takesDeclarations: false,
    declaration: rules.declaration.bind(rules),
    comment: rules.comment.bind(rules),
    samples: rules.samples.bind(rules),
  };
  const filter = new BodyFilter(byLine ? lineRules : rules, testBudgets().of("scrape-line-bytes"));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < body.byteLength; at += pieceBytes) {
    pieces.push(...[...filter.feed(body.subarray(at, at + pieceBytes))].map((piece) => Buffer.from(piece)));
  }
  return Buffer.concat([...pieces, ...filter.end()]).toString("latin1");
}

test.each(["text", "openmetrics"] as const)("%s: declarations read as a whole give what single lines give", (kind) => {
  for (let time = 0; time < 300; time++) {
    const order = [...families].sort(() => Math.random() - 0.5).map((family) => Buffer.from(family, "latin1"));
    const body = Buffer.concat(order);
    const pieceBytes = time % 3 === 0 ? body.byteLength : 1 + Math.floor(Math.random() * 200);
    expect(filtered(body, pieceBytes, kind, false)).toBe(filtered(body, pieceBytes, kind, true));
  }
});
