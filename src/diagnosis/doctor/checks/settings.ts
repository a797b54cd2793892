// SPDX-License-Identifier: Apache-2.0
import { type AgentConfig, loadKnownVariables } from "../../../config/index.ts";
import { type Check, type Finding, ok, warn } from "../check.ts";
import { generalCure, splitCure } from "../cure.ts";
import { machineOf } from "../machine/machine.ts";

type ConfigWarning = AgentConfig["warnings"][number];

/** What the agent would warn about at its start, and names in the environment that are almost known. */
export const settingsCheck: Check = {
  name: "settings",
  needsEnvironment: true,
  async run(context) {
    const { config, input } = context;
    const { user, isUserKnown } = await machineOf(context);
    const isOther = !isUserKnown || user.uid !== process.geteuid?.();
    const { describeVariable, knownVariables, misspeltVariable } = await loadKnownVariables();
    const known = knownVariables();
    const misspelt = new Map<string, string>();
    for (const name of Object.keys(input.env)) {
      const meant = name.startsWith("ATTACHE_") ? undefined : misspeltVariable(name, known);
      if (meant !== undefined) misspelt.set(name, meant);
    }
    // what another user may not read, the agent may
    const warnings = config.warnings
      .filter(({ source, message }) => !(isOther && unreadable.test(message)) && !misspelt.has(source))
      .map((warning) => warningFinding(warning, describeVariable(warning.source)));
    const names = [...misspelt].map(([name, meant]) => misspeltFinding(name, meant));
    const found = [...warnings, ...names, ...contradictions(config, input.env)];
    return found.length > 0 ? found : [ok("settings", "no warnings")];
  },
};

const unreadable = /cannot be read \((EACCES|EPERM)\)/;

/** How advice begins; other last parts of a message say what happens instead. */
const advice = /^(use|set|mount|name|give|install|quote|remove|write|put|make|choose|leave|raise|add|start|correct) /;

function warningFinding({ source, message }: ConfigWarning, form: string | undefined): Finding {
  const meant = /\(did you mean (\S+)\?\)/.exec(message)?.[1];
  const lastPart = message.slice(message.lastIndexOf("; ") + 2);
  const { fact, cure } = advice.test(lastPart) ? splitCure(message) : { fact: message, cure: undefined };
  return warn(
    "settings.warning",
    `${source}: ${fact}`,
    meant === undefined ? (cure ?? generalCure(source, form)) : `Set ${meant} instead.`,
  );
}

/** Names with the agent's prefix have warnings already. */
function misspeltFinding(name: string, meant: string): Finding {
  const fact = `${name} is not a variable of the agent, and has no effect`;
  return warn("settings.variable", fact, `Set ${meant} instead, if that was meant.`);
}

/** Settings without effect beside others. */
function contradictions(config: AgentConfig, env: Readonly<Record<string, string>>): readonly Finding[] {
  const { xds, identity, disableEnvoy } = config;
  const rows = [
    [
      "ATTACHE_XDS_CACHE",
      xds.kind === "files",
      "with ATTACHE_XDS_FILES there is no control plane to keep responses of",
    ],
    ["ATTACHE_XDS_FILES", disableEnvoy, "with DISABLE_ENVOY there is no Envoy to read them"],
    [
      "ATTACHE_IDENTITY_CACHE",
      identity.kind !== "ca",
      `the identity is not requested from a CA, but comes from ${identity.kind}`,
    ],
  ] as const;
  return rows
    .filter(([name, isIdle]) => isIdle && (env[name] ?? "") !== "")
    .map(([name, , why]) =>
      warn("settings.contradiction", `${name} has no effect: ${why}`, `Unset ${name}, or the other one.`),
    );
}
