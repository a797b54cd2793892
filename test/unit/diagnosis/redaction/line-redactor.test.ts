// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { LineRedactor, redactLines } from "../../../../src/diagnosis/redaction/line-redactor.ts";
import { Removals } from "../../../../src/diagnosis/redaction/removals.ts";

const secret = "hUnt3r2fox";
const keyPem = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey.export({ type: "pkcs8", format: "pem" });

const text = [
  "first line",
  "prefix " + keyPem.trimEnd() + " suffix",
  `password: |`,
  `  ${secret}`,
  `  ${secret}`,
  "next: shown",
  "apiKey:",
  `    ${secret}`,
  "- name: DB_PASSWORD",
  `  value: "${secret}"`,
  "- name: DB_HOST",
  "  value: shown",
  `é Bearer ${secret}`,
  "last line",
].join("\n");

test("secrets that take several lines are removed, and the lines around them are kept", () => {
  const redacted = redactLines(text, new Removals());
  expect(redacted).not.toContain(secret);
  for (const line of keyPem.split("\n").slice(1, -2)) expect(redacted).not.toContain(line);
  for (const kept of ["first line", "prefix ", " suffix", "next: shown", "DB_HOST", "value: shown", "last line"]) {
    expect(redacted).toContain(kept);
  }
});

test("the result does not depend on where the pieces are cut: at every offset", () => {
  const whole = redactLines(text, new Removals());
  for (let cut = 0; cut <= text.length; cut++) {
    const lines = new LineRedactor(new Removals());
    expect(lines.feed(text.slice(0, cut)) + lines.feed(text.slice(cut)) + lines.end()).toBe(whole);
  }
});

test("a key whose beginning is missing is removed", () => {
  const end = keyPem.split("\n").slice(5).join("\n");
  expect(redactLines(end, new Removals())).not.toContain(keyPem.split("\n")[10]);
});

test("a key that does not end takes the rest with it, but no more than any key has", () => {
  const cut = keyPem.split("\n").slice(0, 5).join("\n");
  const rest = Array.from({ length: 2_000 }, (_, index) => `line ${String(index)}`).join("\n");
  const redacted = redactLines(`${cut}\n${rest}`, new Removals());
  expect(redacted).not.toContain("line 5\n");
  expect(redacted).toContain("line 1999");
});

test("a line that is too long is removed, and what follows is kept", () => {
  const removals = new Removals();
  const redacted = redactLines(`a\n${"x ".repeat(200_000)}\nb`, removals);
  expect(redacted).toBe("a\n[redacted]\nb");
  expect(removals.counts()).toEqual({ "too-long": 1 });
});

test("in statistics, numbers are kept whatever their name", () => {
  const stats = "cluster.a.ssl.session_token: 12\nhttp.jwt.denied: 3\ncluster.password_x: No recorded values\n";
  expect(redactLines("cluster.a.session_token: 12\n", new Removals(), { keepsNumbers: true })).toContain("12");
  expect(redactLines(stats, new Removals(), { keepsNumbers: true })).toContain("jwt.denied: 3");
});
