// SPDX-License-Identifier: Apache-2.0
import { type Check, type DoctorContext, fail, failUnless, type Finding, ok } from "../check.ts";

const name = "agent";

const cures = {
  late: "It is stopped or overloaded: see process and limits; restart the container if it does not respond again.",
  absent:
    "Name the status port of a running agent with --address; a forwarded port works (kubectl port-forward POD 15020).",
  exited: "Its last lines are in the log of this container (kubectl logs --previous); correct the cause, and start it.",
} as const;

/** The agent that runs, if one does. One whose address is given has to, and one that has exited should. */
export const agentCheck: Check = {
  name,
  needsEnvironment: false,
  run: (context) => Promise.resolve([judge(context)]),
};

function judge({ agent, agentAddress, agentProblem, ...rest }: DoctorContext): Finding {
  const { isAgentLate, agentExit, isAddressGiven } = rest;
  if (agent !== undefined) return ok(name, `runs at ${agentAddress}, ${agent.ready ? "ready" : "not ready"}`);
  if (agentExit !== undefined) return fail(name, agentExit, cures.exited);
  if (isAgentLate) {
    const fact = `what listens at ${agentAddress} does not respond: ${agentProblem}`;
    return failUnless(["process.state"], name, fact, cures.late);
  }
  if (isAddressGiven) return fail(name, `none responds at ${agentAddress}: ${agentProblem}`, cures.absent);
  return ok(name, `none runs: ${agentAddress}: ${agentProblem}`);
}
