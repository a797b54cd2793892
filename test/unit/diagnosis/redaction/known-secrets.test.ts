// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { KnownSecrets } from "../../../../src/diagnosis/redaction/known-secrets.ts";
import { LiteralFilter } from "../../../../src/diagnosis/redaction/literal-filter.ts";
import { formsOfText } from "../../../support/canaries.ts";
import { fc } from "../../../support/properties.ts";

function filter(text: string, secrets: readonly string[], cuts: readonly number[] = []): string {
  const known = new KnownSecrets();
  for (const secret of secrets) known.add(secret);
  const literals = new LiteralFilter(known.forms());
  const bytes = Buffer.from(text);
  const output: Buffer[] = [];
  let start = 0;
  for (const cut of [...cuts, bytes.length]) {
    output.push(literals.feed(bytes.subarray(start, cut)));
    start = cut;
  }
  return Buffer.concat([...output, literals.end()]).toString();
}

const secret = 'Zx9"/q+é\\secret value';

test.each([
  ["as it is", secret],
  ["in JSON", JSON.stringify(secret)],
  ["in JSON in JSON", JSON.stringify(JSON.stringify(secret))],
  ["in a URL", encodeURIComponent(secret)],
  ["in hexadecimal", Buffer.from(secret).toString("hex")],
  ["in base64", Buffer.from(secret).toString("base64")],
  ["in base64, behind one byte", Buffer.from(`x${secret}y`).toString("base64")],
  ["in base64, behind two bytes", Buffer.from(`xy${secret}yz`).toString("base64")],
  ["in base64 for URLs", Buffer.from(`xy${secret}yz`).toString("base64url")],
])("a known secret is found %s", (_, form) => {
  const output = filter(`before ${form} after`, [secret]);
  expect(output).toMatch(/^before .*\[redacted\].* after$/);
  for (const part of formsOfText(secret)) expect(output).not.toContain(part);
});

test("a secret is found wherever the pieces are cut: at every offset", () => {
  const text = `a ${secret} b ${Buffer.from(secret).toString("base64")} c é`;
  const whole = filter(text, [secret]);
  const { length } = Buffer.from(text);
  for (let cut = 0; cut <= length; cut++) expect(filter(text, [secret], [cut])).toBe(whole);
  expect(
    filter(
      text,
      [secret],
      Array.from({ length }, (_, index) => index),
    ),
  ).toBe(whole);
});

test("in random texts, cut at random, no secret is left and nothing else is lost", () => {
  const piece = fc.oneof(
    fc.constantFrom("SECRET-ONE", "SECRET-ONE-LONGER", "other secret"),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 20 }),
      fc.array(fc.nat({ max: 200 }), { maxLength: 6 }),
      (pieces, cuts) => {
        const text = pieces.join("");
        const { length } = Buffer.from(text);
        const sorted = cuts.filter((cut) => cut <= length).sort((a, b) => a - b);
        const output = filter(text, ["SECRET-ONE", "SECRET-ONE-LONGER", "other secret"], sorted);
        expect(output).toBe(text.replaceAll(/SECRET-ONE-LONGER|SECRET-ONE|other secret/g, "[redacted]").toWellFormed());
      },
    ),
    { numRuns: 300 },
  );
});

test("without secrets, bytes pass unchanged", () => {
  expect(filter("anything", [])).toBe("anything");
});

test.each(["true", "default", "12345", "short", "cluster.local"])("a common value is not looked for: %s", (value) => {
  expect(filter(`a ${value} b`, [value])).toBe(`a ${value} b`);
});

test("of a value that was found by its name, plain words and numbers are not looked for", () => {
  const known = new KnownSecrets();
  for (const value of ["kubernetes.default", "2026-12-01", "Some plain words", "12345678901"]) known.learn(value);
  expect(known.size).toBe(0);
  known.learn('Bearer aB3\\"defghi');
  expect(known.isIn('say aB3"defghi')).toBe(true);
});

test("of a key in PEM, each line is looked for", () => {
  const line = "MHcCAQEEIAbcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRS";
  const pem = `-----BEGIN EC PRIVATE KEY-----\n${line}\n-----END EC PRIVATE KEY-----\n`;
  expect(filter(`x ${line} y`, [pem])).toBe("x [redacted] y");
});
