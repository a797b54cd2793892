// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { FamilyGroups } from "../../../src/metrics/family-groups.ts";
import { testBudgets } from "../../support/budgets.ts";

function joined(parts: readonly string[], families = 2_000): string {
  const groups = new FamilyGroups(testBudgets({ "scrape-joined-families": families }).of("scrape-joined-families"));
  for (const part of parts) {
    groups.beginPart();
    groups.add(Buffer.from(part));
  }
  return Buffer.concat([...groups.lines()]).toString();
}

test("samples of a family that two parts have stand together, and each metric once", () => {
  const one = "# HELP a Help.\n# TYPE a histogram\n";
  const samples = 'a_bucket{le="1.0"} 1\na_bucket{le="+Inf"} 1\na_count 1\n';
  const other = 'a_bucket{x="1",le="+Inf"} 2\na_count{x="1"} 2\n';
  expect(joined([`${one}${samples}# TYPE b gauge\nb 1\n`, `# TYPE c gauge\nc 1\n${one}${samples}${other}b 2\n`])).toBe(
    `${one}${samples}${other}# TYPE b gauge\nb 1\n# TYPE c gauge\nc 1\n`,
  );
});

test("a sample of a family that was not declared is no sample of the family before it", () => {
  expect(joined(["# TYPE a gauge\na 1\nup 1\n", '# TYPE a gauge\na{x="1"} 2\n'])).toBe(
    '# TYPE a gauge\na 1\na{x="1"} 2\nup 1\n',
  );
});

test("families beyond the limit take no memory of their own, and no line is lost", () => {
  const lines = Array.from({ length: 50 }, (_, index) => `name_${String(index)} 1\n`).join("");
  expect(joined([lines], 10).split("\n").sort()).toEqual(lines.split("\n").sort());
});
