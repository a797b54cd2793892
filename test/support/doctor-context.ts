// SPDX-License-Identifier: Apache-2.0
import { judgeConfig } from "../../src/config/index.ts";
import type { DoctorContext } from "../../src/diagnosis/doctor/check.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { type TestInput, testInput } from "./parity-case.ts";

/** What a check of the doctor gets where no agent runs. */
export function doctorContext(input: TestInput = {}, changes: Partial<DoctorContext> = {}): DoctorContext {
  const whole = testInput(input);
  return {
    input: whole,
    ...judgeConfig(whole),
    agent: undefined,
    agentAddress: "localhost:15020",
    agentProblem: "connection refused",
    isAgentLate: false,
    agentExit: undefined,
    isAddressGiven: false,
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  };
}
