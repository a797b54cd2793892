// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, ok } from "../check.ts";
import { splitCure } from "../cure.ts";

/** Each problem for which the agent would not start. */
export const configCheck: Check = {
  name: "config",
  needsEnvironment: true,
  run({ config, problems }) {
    const findings = problems.map(({ source, message }) => {
      const { fact, cure } = splitCure(message);
      return fail("config", `${source}: ${fact}`, cure ?? `Correct ${source}; docs/configuration.md describes it.`);
    });
    return Promise.resolve(
      findings.length > 0 ? findings : [ok("config", `valid for the role ${config.role}, node ${config.node.id}`)],
    );
  },
};
