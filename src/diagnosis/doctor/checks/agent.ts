// SPDX-License-Identifier: Apache-2.0
import { type Check, ok } from "../check.ts";

/** The agent that runs, if one does. */
export const agentCheck: Check = {
  name: "agent",
  needsEnvironment: false,
  run({ agent, agentAddress, agentProblem }) {
    const state = agent?.ready === true ? "ready" : "not ready";
    const fact =
      agent === undefined ? `none runs: ${agentAddress}: ${agentProblem}` : `runs at ${agentAddress}, ${state}`;
    return Promise.resolve([ok("agent", fact)]);
  },
};
