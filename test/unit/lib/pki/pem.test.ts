// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { formatPem, joinPem, splitPem } from "../../../../src/lib/pki/pem.ts";
import { processorTime } from "../../../support/processor-time.ts";

const bytes = Buffer.from("some bytes that are longer than one line of a block of text in the PEM form");

describe("PEM", () => {
  test("a block survives writing and reading", () => {
    const { blocks, problem } = splitPem(formatPem("CERTIFICATE", bytes));
    expect(problem).toBeUndefined();
    expect(blocks.map((block) => [block.label, Buffer.from(block.der)])).toEqual([["CERTIFICATE", bytes]]);
  });

  test("text around blocks and other line breaks do not change the normal form", () => {
    const pem = formatPem("CERTIFICATE", bytes);
    const messy = `subject: x\r\n${pem.replaceAll("\n", "\r\n")}\n\n  ${formatPem("X", bytes).replaceAll("\n", "\n ")}`;
    expect(splitPem(messy).blocks.map((block) => block.pem)).toEqual([pem, formatPem("X", bytes)]);
  });

  test("D6: an empty text has no blocks; a broken block after a good one leaves the good one", () => {
    expect(splitPem("")).toEqual({ blocks: [], problem: undefined });
    const { blocks, problem } = splitPem(`${formatPem("CERTIFICATE", bytes)}-----BEGIN CERTIFICATE-----\nAAAA`);
    expect(blocks).toHaveLength(1);
    expect(problem).toBe("PEM block 2 (CERTIFICATE) does not end");
  });

  test.each([
    ["-----BEGIN CERTIFICATE-----\nA!AA\n-----END CERTIFICATE-----", "is not base64"],
    ["-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "is not base64"],
    ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END KEY-----", "does not end"],
    ["-----BEGIN ", "no readable BEGIN line"],
    ["-----BEGIN cert-----", "no readable BEGIN line"],
  ])("%j is a problem that is told", (text, problem) => {
    expect(splitPem(text).problem).toContain(problem);
  });

  test("a long text of unfinished blocks takes no time", () => {
    const elapsedMs = processorTime();
    splitPem("-----BEGIN A-----\n".repeat(100_000));
    expect(elapsedMs()).toBeLessThan(500);
  });

  test.each([
    [[], ""],
    [["a"], "a"],
    [["a", "b"], "a\nb"],
    [["a\n", "b"], "a\nb"],
  ])("B8: joining %j gives %j", (texts, joined) => {
    expect(joinPem(texts)).toBe(joined);
  });
});
