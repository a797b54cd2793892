// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { BodyFilter } from "../../../src/metrics/body-filter.ts";
import { canonicalFloat, type PartFormats } from "../../../src/metrics/format-conversion.ts";
import type { NameEscaping } from "../../../src/metrics/metric-name.ts";
import { PartRules } from "../../../src/metrics/part-rules.ts";
import { fc } from "../../support/properties.ts";
import { createTestRegister } from "../../support/test-register.ts";

/** Runs parts, each a label with its text, through the rules of one response; each part arrives in chunks of `size`. */
function filtered(parts: readonly (readonly [string, string])[], formats: PartFormats, size = 1_000_000): string {
  const { register, part, line } = createTestRegister();
  const out: string[] = [];
  for (const [label, text] of parts) {
    const filter = new BodyFilter(new PartRules(register, part(label), formats), line);
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.byteLength; at += size) {
      for (const piece of filter.feed(bytes.subarray(at, at + size))) out.push(Buffer.from(piece).toString());
    }
    for (const piece of filter.end()) out.push(Buffer.from(piece).toString());
  }
  return out.join("");
}

const text = { from: "text", to: "text", names: "underscores" } as const;
const toOpen = { from: "text", to: "openmetrics", names: "underscores" } as const;
const toText = { from: "openmetrics", to: "text", names: "underscores" } as const;
const open = { from: "openmetrics", to: "openmetrics", names: "underscores" } as const;

test("text in text stays as it is, byte for byte, and gets its last line end", () => {
  const body = '# HELP a Help of a.\n# TYPE a counter\na 1\n\n# a remark\n# TYPE b gauge\nb{x="#"} 2 1700';
  expect(filtered([["one", body]], text)).toBe(`${body}\n`);
});

test("what comes out does not depend on how the body was cut", () => {
  const body =
    '# HELP a A.\n# TYPE a counter\na 1\na{b="# TYPE"} 2\n# TYPE h histogram\nh_bucket{le="1"} 1\n\n# TYPE c gauge\nc 3\n';
  for (const formats of [text, toOpen]) {
    const whole = filtered([["one", body]], formats);
    for (let size = 1; size < body.length; size++) expect(filtered([["one", body]], formats, size)).toBe(whole);
  }
});

test("M13 a family of two parts is declared once and keeps the samples of both", () => {
  const parts = [
    ["one", "# HELP f F.\n# TYPE f gauge\nf 1\n"],
    ["two", '# HELP f Other.\n# TYPE f gauge\nf{a="b"} 2\n'],
  ] as const;
  expect(filtered(parts, text)).toBe('# HELP f F.\n# TYPE f gauge\nf 1\nf{a="b"} 2\n');
});

test("a family with another type in a second part is left out there, and only it", () => {
  const parts = [
    ["one", "# TYPE f gauge\nf 1\n"],
    ["two", '# TYPE f histogram\nf_bucket{le="1"} 2\nf_sum 1\n# TYPE g gauge\ng 3\n'],
  ] as const;
  expect(filtered(parts, text)).toBe("# TYPE f gauge\nf 1\n# TYPE g gauge\ng 3\n");
});

test("text becomes OpenMetrics: counters, bounds, empty lines, remarks", () => {
  const body = `# HELP a_total A.
# TYPE a_total counter
a_total 1
# remark

# TYPE b counter
b 2
# TYPE u untyped
u 3

# TYPE h histogram
h_bucket{x="le",le="0.5"} 1
h_bucket{le="5"} 1
h_bucket{le="3600000"} 1
h_bucket{le="+Inf"} 1
h_sum 1
h_count 1
`;
  expect(filtered([["one", body]], toOpen)).toBe(`# HELP a A.
# TYPE a counter
a_total 1
# TYPE b unknown
b 2
# TYPE u unknown
u 3
# TYPE h histogram
h_bucket{x="le",le="0.5"} 1
h_bucket{le="5.0"} 1
h_bucket{le="3.6e+06"} 1
h_bucket{le="+Inf"} 1
h_sum 1
h_count 1
`);
});

test("M12 OpenMetrics becomes text: names, exemplars, seconds, no unit and no end", () => {
  const body = `# TYPE c counter
# UNIT c seconds
# HELP c C.
c_total{p="a # {b} \\"} 7"} 1 1700000000.5 # {trace="x"} 0.5
# TYPE i info
i_info{v="1"} 1
# TYPE u unknown
u 2 # {} 1
# TYPE s stateset
s{s="a"} 1
# TYPE m summary
m{quantile="0.5"} 1
# TYPE g gaugehistogram
g_gcount 1
# EOF
`;
  expect(filtered([["one", body]], toText)).toBe(`# TYPE c_total counter
# HELP c_total C.
c_total{p="a # {b} \\"} 7"} 1 1700000000500
# TYPE i_info gauge
i_info{v="1"} 1
# TYPE u untyped
u 2
# TYPE s gauge
s{s="a"} 1
# TYPE m summary
m{quantile="0.5"} 1
# TYPE g untyped
g_gcount 1
`);
});

const utf8Body = `# TYPE "http.server.requests" counter
# HELP "http.server.requests" Requests.
{"http.server.requests_total",code="200","ünit.x"="\\d"} 5 # {trace_id="abc"} 1.0
# TYPE "queue depth" gauge
{"queue depth"} 2 17.5
# TYPE plain gauge
{"plain",a="1"} 3
plain{"a.b"="1"} 4
# EOF
`;

test("C18: names in quotes are one token, and stay quoted for a scraper that accepts them", () => {
  expect(
    filtered([["one", utf8Body]], { ...toText, names: "allow-utf-8" }),
  ).toBe(`# TYPE "http.server.requests_total" counter
# HELP "http.server.requests_total" Requests.
{"http.server.requests_total",code="200","ünit.x"="\\\\d"} 5
# TYPE "queue depth" gauge
{"queue depth"} 2 17500
# TYPE plain gauge
plain{a="1"} 3
plain{"a.b"="1"} 4
`);
  expect(filtered([["one", utf8Body]], { ...open, names: "allow-utf-8" })).toContain(
    '{"http.server.requests_total",code="200","ünit.x"="\\\\d"} 5 # {trace_id="abc"} 1.0\n',
  );
});

test.each<[NameEscaping, string, string]>([
  ["underscores", "http_server_requests_total", "_nit_x"],
  ["dots", "http_dot_server_dot_requests_total", "_nit_dot_x"],
  ["values", "U__http_2E_server_2E_requests_total", "U___FC_nit_2E_x"],
])("C18: for any other scraper they are escaped with %s", (names, family, label) => {
  const out = filtered([["one", utf8Body]], { ...toText, names });
  expect(out).toContain(`# TYPE ${family} counter\n# HELP ${family} Requests.\n${family}{code="200",${label}="`);
  expect(out).not.toMatch(/^(# TYPE |\{)"/m);
});

test("C18: two names that are the same once escaped are declared once", () => {
  const body = '# TYPE "a.b" gauge\n{"a.b"} 1\n# TYPE a_b gauge\na_b{x="y"} 2\n# TYPE "a b" counter\n{"a b"} 3\n';
  expect(filtered([["one", body]], text)).toBe('# TYPE a_b gauge\na_b 1\na_b{x="y"} 2\n');
});

test("C18: labels whose escaped names are equal become one with both values, in samples and exemplars", () => {
  const part = [
    ["one", '# TYPE c counter\nc_total{"x.y"="1",x_y="2",z="3"} 4 # {"span.id"="a",span_id="b"} 1\n'],
  ] as const;
  const kept = { ...open, names: "allow-utf-8" } as const;
  expect(filtered(part, toText)).toBe('# TYPE c_total counter\nc_total{x_y="1;2",z="3"} 4\n');
  expect(filtered(part, open)).toBe('# TYPE c counter\nc_total{x_y="1;2",z="3"} 4 # {span_id="a;b"} 1\n');
  expect(filtered(part, kept)).toBe(part[0][1]);
});

test("C18: an exemplar that is longer than a parser takes is left out, its sample is not", () => {
  const sample = (trace: string) => `# TYPE c counter\nc_total 4 # {t="${trace}"} 1\n`;
  const longest = `\\n${"é".repeat(126)}`;
  expect(filtered([["one", sample(longest)]], open)).toBe(sample(longest));
  expect(filtered([["one", sample(`${longest}=`)]], open)).toBe("# TYPE c counter\nc_total 4\n");
});

test("C18: OpenMetrics keeps exemplars, units and help, wherever they stand, and leaves out a unit that is wrong", () => {
  const body = `# TYPE a_seconds histogram
# UNIT a_seconds seconds
# HELP a_seconds A.
a_seconds_bucket{le="1.0"} 1 # {trace_id="x"} 0.5 17.25
a_seconds_bucket{le="+Inf"} 1
a_seconds_count 1
a_seconds_sum 0.5
# HELP b_bytes B "x" \\\\ y.
# UNIT b_bytes bytes
# TYPE b_bytes gauge
b_bytes 1
`;
  const wrong = "# TYPE c gauge\n# UNIT c seconds\nc 1\n";
  expect(filtered([["one", `${body}${wrong}# EOF\n`]], open)).toBe(
    `${body
      .replace("# UNIT b_bytes bytes\n", "")
      .replace("b_bytes gauge\n", "b_bytes gauge\n# UNIT b_bytes bytes\n")}# TYPE c gauge\nc 1\n`,
  );
});

test("C18: what the declared format does not have is converted, or left out: one line does not cost the response", () => {
  const body = `# HELP h \\d "x" \\"y\\"
h 1
# TYPE i info
i_info{a="b"} 1 # {t="x"} 1
# TYPE broken
# TYPE "broken gauge
# TYPE u Unknown
u{a="\\q"} 1e3 17.5\r
not metrics at all
u{a="b",} 0x10
u nan
u{a=b} 1
<html>
u.v 2
# TYPE c Counter
c 3
`;
  expect(filtered([["one", body]], text)).toBe(`# HELP h \\\\d "x" "y"
h 1
# TYPE i untyped
i_info{a="b"} 1
# TYPE broken untyped
# TYPE u untyped
u{a="\\\\q"} 1e3
u{a="b"} 16
u NaN
u_v 2
# TYPE c counter
c 3
`);
  const bytes = Buffer.concat([Buffer.from('a{b="'), Buffer.of(0xff), Buffer.from('"} 1\n')]);
  const { register, part, line } = createTestRegister();
  const rules = new PartRules(register, part("one"), text);
  const pieces = [...new BodyFilter(rules, line).feed(bytes)];
  expect(Buffer.concat(pieces).toString()).toBe('a{b="\ufffd"} 1\n');
  expect(rules.invalidLines).toBe(0);
  Buffer.concat([...new BodyFilter(rules, line).feed(Buffer.from("x\ny\na 1\n"))]);
  expect(rules.invalidLines).toBe(2);
});

test("M9 the end of each OpenMetrics part is cut, whatever line end it has", () => {
  for (const end of ["# EOF", "# EOF\n", "# EOF\r\n", "# EOF  \n"]) {
    expect(filtered([["one", `# TYPE a gauge\na 1\n${end}`]], open)).toBe("# TYPE a gauge\na 1\n");
  }
});

test.each([
  ["1", "1.0"],
  ["0.005", "0.005"],
  ["10", "10.0"],
  ["1000000", "1e+06"],
  ["3600000", "3.6e+06"],
  ["0.00001", "1e-05"],
  ["+Inf", "+Inf"],
  ["Inf", "Inf"],
  ["", ""],
])("the bound %s is %s", (given, expected) => {
  expect(canonicalFloat(given)).toBe(expected);
});

test.each(["# HELP ", "a"])("an endless line that begins with %j is rejected, at once and in single bytes", (start) => {
  const line = start + "x".repeat(300_000);
  expect(() => filtered([["one", line]], text)).toThrow(/limit scrape-line-bytes of 262144 bytes/);
  expect(() => filtered([["one", `a 1\n${line}\nb 1\n`]], text, 1)).toThrow(/limit scrape-line-bytes of 262144 bytes/);
  const long = `${start}${"x".repeat(200_000)} 1`;
  expect(filtered([["one", long]], text, 1)).toBe(start === "a" ? `${long}\n` : "");
});

test("no body, however broken, makes the filter throw, and each line out ends", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom("\n", "# TYPE a counter\n", "# HELP", "a{", "# EOF\n"))),
      (lines) => {
        for (const formats of [text, toOpen, toText, open]) {
          const out = filtered([["one", lines.join("")]], formats, 7);
          expect(out === "" || out.endsWith("\n")).toBe(true);
        }
      },
    ),
    { numRuns: 300 },
  );
});
