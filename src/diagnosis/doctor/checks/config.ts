// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, ok } from "../check.ts";

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

/** Messages of problems say what to do behind their last semicolon. */
export function splitCure(message: string): { readonly fact: string; readonly cure: string | undefined } {
  const at = message.lastIndexOf("; ");
  if (at < 0) return { fact: message, cure: undefined };
  const advice = message.slice(at + 2);
  return { fact: message.slice(0, at), cure: `${advice.charAt(0).toUpperCase()}${advice.slice(1)}.` };
}
