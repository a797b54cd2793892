// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BodyFilter } from "../../../src/metrics/body-filter.ts";
import { FamilyGroups } from "../../../src/metrics/family-groups.ts";
import type { NameEscaping } from "../../../src/metrics/metric-name.ts";
import { PartRules } from "../../../src/metrics/part-rules.ts";
import { testBudgets } from "../../support/budgets.ts";
import { fc } from "../../support/properties.ts";
import { projectRoot } from "../../support/run-program.ts";
import { createTestRegister } from "../../support/test-register.ts";

type Kind = "text" | "openmetrics";

/** A body of an application, in the format that it declares. */
interface Body {
  readonly kind: Kind;
  readonly text: string;
}

interface Family {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "untyped" | "histogram";
  readonly help: string | undefined;
  /** Where the HELP line stands: before the TYPE line, after it. */
  readonly helpIsLast: boolean;
  readonly label: string;
  readonly labelName: string;
  readonly value: number;
  readonly timestamp: boolean;
  readonly exemplar: boolean;
  readonly emptyLine: boolean;
  /** Lines that are not metrics, or not in this format. */
  readonly mistake: string | undefined;
}

/** Some families are those of both targets. */
const plainName = fc.oneof(fc.constantFrom("shared", "process_cpu_seconds"), fc.stringMatching(/^[a-z_]{1,12}[a-z]$/));
const quotedName = fc.stringMatching(/^[a-z.][a-z.é 世"\\{}#=,-]{0,12}[a-z]$/);

const family: fc.Arbitrary<Family> = fc.record({
  name: fc.oneof({ weight: 3, arbitrary: plainName }, quotedName),
  kind: fc.constantFrom("counter", "gauge", "untyped", "histogram"),
  help: fc.option(fc.stringMatching(/^[ -[\]-~é]{0,30}$/), { nil: undefined }),
  helpIsLast: fc.boolean(),
  label: fc.stringMatching(/^[ !#-[\]-~é]{0,20}$/),
  labelName: fc.oneof({ weight: 3, arbitrary: fc.constant("l") }, quotedName),
  value: fc.double({ noNaN: true, noDefaultInfinity: true }),
  timestamp: fc.boolean(),
  exemplar: fc.boolean(),
  emptyLine: fc.boolean(),
  mistake: fc.option(
    fc.constantFrom(
      "no metric",
      "# TYPE",
      '# TYPE "broken gauge',
      "<html>",
      "a{b=c} 1",
      '{"x"',
      "a 1 2 3 4",
      "# EOF",
      "# UNIT a seconds",
    ),
    { nil: undefined, freq: 6 },
  ),
});

const kinds = fc.constantFrom<Kind>("text", "openmetrics");
const body: fc.Arbitrary<Body> = fc
  .tuple(kinds, fc.uniqueArray(family, { selector: ({ name }) => name.replaceAll(/[^a-z]/g, "_"), maxLength: 8 }))
  .map(([kind, families]) => ({ kind, text: families.map((each) => renderFamily(each, kind)).join("") }));

const quoted = (name: string): string => `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const isPlain = (name: string): boolean => /^[a-z_]+$/.test(name);

function renderFamily(given: Family, format: Kind): string {
  const { kind, help, helpIsLast, label, value, emptyLine, mistake } = given;
  const own = `f_${given.name}`;
  const isTotal = kind === "counter" && value > 0 && format === "text";
  const name = isTotal ? `${own}_total` : own;
  const written = isPlain(name) ? name : quoted(name);
  const type = kind === "untyped" && format === "openmetrics" ? "unknown" : kind;
  const lines = [`# TYPE ${written} ${type}`];
  if (help !== undefined) lines[helpIsLast ? "push" : "unshift"](`# HELP ${written} ${help}`);
  const labelName = isPlain(given.labelName) ? given.labelName : quoted(given.labelName);
  const series = (suffix: string, more: string): string => {
    const full = `${name}${suffix}`;
    const labels = `${labelName}="${label}"${more}`;
    return isPlain(full) ? `${full}{${labels}}` : `{${quoted(full)},${labels}}`;
  };
  const time = given.timestamp ? (format === "text" ? " 1700000000000" : " 1700000000.5") : "";
  const exemplar = given.exemplar ? ' # {trace_id="a # b"} 0.5' : "";
  if (kind === "histogram") {
    for (const bound of ["0.5", "1.0", "2.5e+06", "+Inf"]) {
      lines.push(`${series("_bucket", `,le="${bound}"`)} 3${time}${exemplar}`);
    }
    lines.push(`${series("_sum", "")} 7.5${time}`, `${series("_count", "")} 3${time}`);
  } else {
    const suffix = kind === "counter" && format === "openmetrics" ? "_total" : "";
    const number = String(kind === "counter" ? Math.abs(value) : value);
    lines.push(`${series(suffix, "")} ${number}${time}${kind === "counter" ? exemplar : ""}`);
  }
  if (mistake !== undefined) lines.push(mistake);
  return `${lines.join("\n")}\n${emptyLine ? "\n" : ""}`;
}

/** Parts of one response, cut into reads of some size. */
function merged(parts: readonly Body[], to: Kind, names: NameEscaping, size: number): string {
  const { register, part: owner, line } = createTestRegister();
  const isGrouped = to === "openmetrics" && parts.length > 1;
  const groups = new FamilyGroups(testBudgets().of("scrape-joined-families"));
  const out = parts.map(({ kind: from, text }, number) => {
    const filter = new BodyFilter(new PartRules(register, owner(String(number)), { from, to, names, isGrouped }), line);
    const bytes = Buffer.from(text);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      // pieces share memory with what was read, so they are copied before the next read
      for (const piece of filter.feed(bytes.subarray(at, at + size))) pieces.push(Uint8Array.from(piece));
    }
    pieces.push(...filter.end());
    if (isGrouped) {
      groups.beginPart();
      for (const piece of pieces) groups.add(piece);
      return "";
    }
    return Buffer.concat(pieces).toString();
  });
  if (isGrouped) out.push(Buffer.concat([...groups.lines()]).toString());
  return `${out.join("")}${to === "openmetrics" ? "# EOF\n" : ""}`;
}

const escapings = ["allow-utf-8", "underscores", "dots", "values"] as const;

test("C18: other programs' parsers accept 600 merged responses in each format, however targets and formats are mixed", async () => {
  const inputs = fc.sample(fc.tuple(body, body, fc.constantFrom(...escapings), fc.integer({ min: 1, max: 400 })), {
    numRuns: 600,
    seed: 7,
  });
  const text = inputs.map(([one, two, names, size]) => merged([one, two], "text", names, size));
  const open = inputs.flatMap(([one, two, names, size]) => [
    merged([one], "openmetrics", names, size),
    merged([one, two], "openmetrics", names, size),
  ]);
  expect(text.join("")).toMatch(/\{"f_/);
  expect(open.join("")).toContain(' # {trace_id="a # b"} 0.5');
  for (const [index, [, , names]] of inputs.entries()) {
    if (names !== "allow-utf-8") expect(text[index]).not.toMatch(/^\{"|^# TYPE "/m);
  }
  expect(await run("python3", ["-c", program], JSON.stringify({ text, open }))).toEqual({ code: 0, stderr: "" });
}, 60_000);

test("C18: promtool accepts 25 merged responses of mixed targets", async () => {
  const inputs = fc.sample(fc.tuple(body, body), { numRuns: 25, seed: 11 });
  for (const [one, two] of inputs) {
    const text = merged([one, two], "text", "underscores", 100);
    const { stderr } = await run("promtool", ["check", "metrics"], text);
    // what it finds unfortunate about names is no fault
    expect(stderr, text).not.toMatch(/error while linting|parsing error/i);
  }
}, 120_000);

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

function run(command: string, args: readonly string[], input: string) {
  return new Promise<{ readonly code: number | null; readonly stderr: string }>((resolve, reject) => {
    const env = { ...process.env, PYTHONPATH: join(projectRoot, ".cache", "python") };
    const child = spawn(command, args, { stdio: ["pipe", "ignore", "pipe"], env });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ code, stderr });
    });
    child.stdin.end(input);
  });
}
