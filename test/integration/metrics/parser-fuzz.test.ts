// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BodyFilter } from "../../../src/metrics/body-filter.ts";
import { PartRules } from "../../../src/metrics/part-rules.ts";
import { fc } from "../../support/properties.ts";
import { projectRoot } from "../../support/run-program.ts";
import { createTestRegister } from "../../support/test-register.ts";

interface Family {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "untyped" | "histogram";
  readonly help: string | undefined;
  readonly label: string;
  readonly value: number;
  readonly emptyLine: boolean;
}

const family: fc.Arbitrary<Family> = fc.record({
  name: fc.stringMatching(/^[a-z_]{1,12}[a-z]$/),
  kind: fc.constantFrom("counter", "gauge", "untyped", "histogram"),
  help: fc.option(fc.stringMatching(/^[ -[\]-~]{0,30}$/), { nil: undefined }),
  label: fc.stringMatching(/^[ !#-[\]-~]{0,20}$/),
  value: fc.double({ noNaN: true, noDefaultInfinity: true }),
  emptyLine: fc.boolean(),
});

const body = fc
  .uniqueArray(family, { selector: ({ name }) => name, maxLength: 8 })
  .map((families) => families.map(renderFamily).join(""));

function renderFamily({ name, kind, help, label, value, emptyLine }: Family): string {
  const own = kind === "counter" && value > 0 ? `f_${name}_total` : `f_${name}`;
  const lines = help === undefined ? [] : [`# HELP ${own} ${help}`];
  lines.push(`# TYPE ${own} ${kind}`);
  if (kind === "histogram") {
    for (const bound of ["0.5", "1", "2500000", "+Inf"]) lines.push(`${own}_bucket{l="${label}",le="${bound}"} 3`);
    lines.push(`${own}_sum{l="${label}"} 7.5`, `${own}_count{l="${label}"} 3`);
  } else lines.push(`${own}{l="${label}"} ${String(kind === "counter" ? Math.abs(value) : value)}`);
  return `${lines.join("\n")}\n${emptyLine ? "\n" : ""}`;
}

/** Two parts of one response, cut into reads of some size. */
function merged(parts: readonly string[], to: "text" | "openmetrics", size: number): string {
  const { register, part: owner, line } = createTestRegister();
  const out = parts.map((part, number) => {
    const filter = new BodyFilter(new PartRules(register, owner(String(number)), { from: "text", to }), line);
    const bytes = Buffer.from(part);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      // pieces share memory with what was read, so they are copied before the next read
      for (const piece of filter.feed(bytes.subarray(at, at + size))) pieces.push(Uint8Array.from(piece));
    }
    pieces.push(...filter.end());
    return Buffer.concat(pieces).toString();
  });
  return `${out.join("")}${to === "openmetrics" ? "# EOF\n" : ""}`;
}

test("another program's parsers accept 500 merged responses in each format", async () => {
  const inputs = fc.sample(fc.tuple(body, body, fc.integer({ min: 1, max: 400 })), { numRuns: 500, seed: 7 });
  const text = inputs.map(([one, two, size]) => merged([one, two], "text", size));
  // in OpenMetrics no two parts have a family in common: then the response is text
  const open = inputs.map(([one, , size]) => merged([one], "openmetrics", size));
  const { code, stderr } = await parseAll({ text, open });
  expect(stderr).toBe("");
  expect(code).toBe(0);
}, 60_000);

const program = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
answers = json.load(sys.stdin)
for parse, kind in ((text, "text"), (openmetrics, "open")):
    for answer in answers[kind]:
        try:
            list(parse(answer))
        except Exception as error:
            sys.exit(f"{kind}: {error!r} in\\n{answer}")
`;

function parseAll(answers: object): Promise<{ readonly code: number | null; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PYTHONPATH: join(projectRoot, ".cache", "python") };
    const child = spawn("python3", ["-c", program], { stdio: ["pipe", "ignore", "pipe"], env });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ code, stderr });
    });
    child.stdin.end(JSON.stringify(answers));
  });
}
