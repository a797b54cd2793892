// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { exitInstructions } from "../../../src/host/system-calls.ts";

/** What an assembler makes of it. */
test.each([
  // mov $70, %edi; mov $231, %eax; syscall
  ["x64", "bf46000000b8e70000000f05"],
  // movz w0, #70; movz w8, #94; svc #0, each in little endian
  ["arm64", "c0088052c80b8052010000d4"],
])("the exit of an aborted process is machine code of %s", (arch, code) => {
  expect(exitInstructions(arch, 70)?.toString("hex")).toBe(code);
});

test("there is none for an unknown architecture", () => {
  expect(exitInstructions("riscv64", 70)).toBeUndefined();
});
