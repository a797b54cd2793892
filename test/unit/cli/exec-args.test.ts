// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseExecArgs } from "../../../src/cli/commands/exec.ts";

test("what follows the two hyphens belongs to the program, flags of the same name too", () => {
  expect(parseExecArgs(["--debug-port=15021", "--", "job", "--debug-port", "1", "--", "x"])).toEqual({
    statusPort: 15_021,
    wait: { readyWithinMs: 60_000, agentWithinMs: 30_000, isFatal: true, needsAgent: false },
    quitWithinMs: 2_000,
    program: "job",
    words: ["--debug-port", "1", "--", "x"],
  });
});

test.each([
  [[], "name the program"],
  [["job"], "unexpected job before --"],
  [["--"], "name the program"],
  [["--quit-timeout", "soon", "--", "job"], "not a duration"],
  [["--ready-timeout", "-1s", "--", "job"], "not a duration"],
  [["--debug-prot", "1", "--", "job"], "--debug-port"],
])("%j is refused", (args, problem) => {
  expect(() => parseExecArgs(args)).toThrow(expect.objectContaining({ code: "AGENT_USAGE" }));
  expect(() => parseExecArgs(args)).toThrow(problem);
});
