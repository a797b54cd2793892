// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, ok } from "../check.ts";

const cure =
  "Name the status port of a running agent with --address; a forwarded port works (kubectl port-forward POD 15020).";

/** The agent that runs, if one does. One whose address is given has to. */
export const agentCheck: Check = {
  name: "agent",
  needsEnvironment: false,
  run({ agent, agentAddress, agentProblem, isAddressGiven }) {
    if (agent === undefined && isAddressGiven) {
      return Promise.resolve([fail("agent", `none responds at ${agentAddress}: ${agentProblem}`, cure)]);
    }
    const state = agent?.ready === true ? "ready" : "not ready";
    const fact =
      agent === undefined ? `none runs: ${agentAddress}: ${agentProblem}` : `runs at ${agentAddress}, ${state}`;
    return Promise.resolve([ok("agent", fact)]);
  },
};
