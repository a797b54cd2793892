// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseLimits } from "../../../src/lib/process-limits.ts";

const text = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max core file size        0                    unlimited            bytes
Max open files            1024                 1048576              files
`;

test("limits are parsed, unlimited as undefined", () => {
  expect(parseLimits(text)).toEqual({
    openFiles: { soft: 1_024, hard: 1_048_576 },
    coreFileBytes: { soft: 0, hard: undefined },
    addressSpaceBytes: { soft: undefined, hard: undefined },
  });
});

test("a limit that is not in the text counts as unlimited", () => {
  expect(parseLimits("").openFiles).toEqual({ soft: undefined, hard: undefined });
});
