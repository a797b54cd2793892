// SPDX-License-Identifier: Apache-2.0
import { preflightBootstrap, renderBootstrap } from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/agent-config.ts";
import {
  ConfigError,
  type ConfigInput,
  type ConfigProblem,
  effectiveSettings,
  type JudgedConfig,
  judgeConfig,
  readConfigInput,
  redactSecrets,
} from "../../config/index.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { JsonObject, JsonValue } from "../../lib/json.ts";
import { type CommandContext, UsageError } from "../command.ts";
import { readOutputFormat, renderOutput } from "../output/output-format.ts";
import { differences } from "./differences.ts";
import { splitArguments } from "../own-flags.ts";
import { explainFlags } from "./explain-flags.ts";
import { readOtherInput } from "./other-input.ts";
import { renderExplanation, renderDifferences } from "./render-explanation.ts";
import { validateWithEnvoy } from "./validate-with-envoy.ts";

/** The explanation of one set of inputs. */
export type Explanation = JsonObject;

/** Explains the configuration of `proxy` with the same arguments and environment. Starts nothing. */
export async function runExplain({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, proxyArgs } = splitArguments("explain", args, explainFlags);
  const { diff, validate } = values;
  const format = readOutputFormat("explain", values);
  const input = await readConfigInput({ env, args: proxyArgs });
  const { config, problems, explanation } = explain(input);
  const checks = validate && problems.length === 0 ? await validationOf(config, stop) : undefined;
  if (diff !== "") {
    const other = explain(await readOtherInput(input, diff)).explanation;
    const found = differences(explanation, other);
    print(await renderOutput(format, found, () => renderDifferences(found)));
  } else {
    const whole = checks === undefined ? explanation : { ...explanation, validation: checks };
    print(await renderOutput(format, whole, () => renderExplanation(whole)));
  }
  if (problems.length > 0) throw new ConfigError(problems, config.warnings);
  return checks?.accepted === false ? exitCode.failed : exitCode.ok;
}

/** The explanation alone, for a diagnosis: what is known where the configuration has problems, too. */
export async function explainConfiguration({
  env,
  args,
  stop,
}: Pick<CommandContext, "env" | "args" | "stop">): Promise<Explanation> {
  return explain(await readConfigInput({ env, args, stop })).explanation;
}

interface Explained extends JudgedConfig {
  readonly explanation: Explanation;
}

/** Where the configuration has problems, it shows what is known: each problem at its setting, and what follows from the rest. */
function explain(input: ConfigInput): Explained {
  const { config, problems } = judgeConfig(input);
  const settings = effectiveSettings(input).map(({ kind, name, value, source }): JsonObject => {
    const own = problems.filter((problem) => isAbout(problem, name)).map(({ message }) => message);
    return { kind, name, value, source, ...(own.length === 0 ? {} : { problem: own.join("; ") }) };
  });
  const known = problems.length === 0 ? {} : { problems: problems.map(({ source, message }) => ({ source, message })) };
  const explanation = { ...known, settings, ...consequences(config) };
  return { config, problems, explanation };
}

/** @param name of a flag, a variable or a field of ProxyConfig */
function isAbout({ source }: ConfigProblem, name: string): boolean {
  return source === name || source.endsWith(`field ${name}`);
}

/** What follows from the settings. */
function consequences(config: AgentConfig): JsonObject {
  const { role, node, envoy, bootstrap, warnings } = config;
  const document: JsonValue =
    bootstrap.kind === "generated"
      ? renderBootstrap(bootstrap.config)
      : { file: bootstrap.kind === "merged" ? bootstrap.customPath : bootstrap.path };
  return {
    role,
    node: redactSecrets({ id: node.id, cluster: node.cluster, ips: node.ips, metadata: node.metadata }),
    envoy: { command: [envoy.binaryPath, ...envoy.args] },
    warnings: warnings.map(({ source, message }): JsonObject => ({ source, message })),
    bootstrap: redactSecrets(document),
  };
}

async function validationOf(config: AgentConfig, stop: AbortSignal) {
  if (config.disableEnvoy) throw new UsageError("explain", "--validate needs Envoy, but DISABLE_ENVOY is set");
  const findings = await preflightBootstrap(config);
  const envoy = await validateWithEnvoy(config, stop);
  return {
    accepted: envoy === "",
    envoy: envoy === "" ? "accepted" : envoy,
    findings: findings.map(({ document, path, message }): JsonObject => ({ document, path, message })),
  };
}
