// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  type Der,
  derBitString,
  derBoolean,
  derInteger,
  derNull,
  derOctetString,
  derOid,
  derPrintableString,
  derSequence,
  derSet,
  derTagged,
  derTaggedPrimitive,
} from "../../../../src/lib/pki/der.ts";

function hex(der: Der): string {
  return Buffer.from(der).toString("hex");
}

describe("DER", () => {
  test.each<[string, Der, string]>([
    ["zero", derInteger(0), "020100"],
    ["true", derBoolean(true), "0101ff"],
    ["false", derBoolean(false), "010100"],
    ["null", derNull(), "0500"],
    ["an identifier with large parts", derOid("1.2.840.113549.1.1.11"), "06092a864886f70d01010b"],
    ["an empty printable string", derPrintableString(""), "1300"],
    ["bits", derBitString(Uint8Array.of(0xa0)), "030200a0"],
    ["octets", derOctetString(Uint8Array.of(1)), "040101"],
    ["a set", derSet(derNull()), "31020500"],
    ["a tagged element", derTagged(0, derNull()), "a0020500"],
    ["a tagged primitive", derTaggedPrimitive(6, Buffer.from("a")), "860161"],
    [
      "the empty organisation",
      derSequence(derSet(derSequence(derOid("2.5.4.10"), derPrintableString("")))),
      "300b31093007060355040a1300",
    ],
  ])("%s", (_name, der, expected) => {
    expect(hex(der)).toBe(expected);
  });

  test.each([
    [127, "047f"],
    [128, "048180"],
    [256, "04820100"],
    [65_536, "0483010000"],
  ])("a length of %i takes its shortest form", (length, prefix) => {
    expect(hex(derOctetString(new Uint8Array(length))).startsWith(prefix)).toBe(true);
  });
});
