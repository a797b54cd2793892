// SPDX-License-Identifier: Apache-2.0
import { loadKnownVariables } from "../../../config/index.ts";
import { type Check, fail, ok } from "../check.ts";
import { generalCure, splitCure } from "../cure.ts";

/** Each problem for which the agent would not start. */
export const configCheck: Check = {
  name: "config",
  needsEnvironment: true,
  async run({ config, problems }) {
    const { describeVariable } = await loadKnownVariables();
    const findings = problems.map(({ source, message }) => {
      const { fact, cure } = splitCure(message);
      return fail("config", `${source}: ${fact}`, cure ?? generalCure(source, describeVariable(source)));
    });
    return findings.length > 0 ? findings : [ok("config", `valid for the role ${config.role}, node ${config.node.id}`)];
  },
};
