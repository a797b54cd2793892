// SPDX-License-Identifier: Apache-2.0
import { preflightBootstrap, renderBootstrap } from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/agent-config.ts";
import {
  type ConfigInput,
  effectiveSettings,
  parseConfig,
  readConfigInput,
  redactSecrets,
} from "../../config/index.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { JsonObject, JsonValue } from "../../lib/json.ts";
import { type CommandContext, UsageError } from "../command.ts";
import { differences } from "./differences.ts";
import { splitExplainFlags } from "./explain-flags.ts";
import { readOtherInput } from "./other-input.ts";
import { renderExplanation, renderDifferences } from "./render-explanation.ts";
import { validateWithEnvoy } from "./validate-with-envoy.ts";

/** The explanation of one set of inputs. */
export type Explanation = JsonObject;

/** Explains the configuration of `proxy` with the same arguments and environment. Starts nothing. */
export async function runExplain({ args, env, print, stop }: CommandContext): Promise<number> {
  const { proxyArgs, json, diff, validate } = splitExplainFlags(args);
  const input = await readConfigInput({ env, args: proxyArgs });
  const { config, explanation } = explain(input);
  const checks = validate ? await validationOf(config, stop) : undefined;
  if (diff !== "") {
    const other = explain(await readOtherInput(input, diff)).explanation;
    const found = differences(explanation, other);
    print(json ? `${JSON.stringify(found, undefined, 2)}\n` : renderDifferences(found));
    return exitCode.ok;
  }
  const whole = checks === undefined ? explanation : { ...explanation, validation: checks };
  print(json ? `${JSON.stringify(whole, undefined, 2)}\n` : renderExplanation(whole));
  return checks?.accepted === false ? exitCode.failed : exitCode.ok;
}

function explain(input: ConfigInput): { readonly config: AgentConfig; readonly explanation: Explanation } {
  const config = parseConfig(input);
  const { node, envoy, bootstrap, warnings } = config;
  const document: JsonValue =
    bootstrap.kind === "generated"
      ? renderBootstrap(bootstrap.config)
      : { file: bootstrap.kind === "merged" ? bootstrap.customPath : bootstrap.path };
  const settings = effectiveSettings(input).map(
    ({ kind, name, value, source }): JsonObject => ({ kind, name, value, source }),
  );
  const explanation = {
    role: config.role,
    settings,
    node: redactSecrets({ id: node.id, cluster: node.cluster, ips: node.ips, metadata: node.metadata }),
    envoy: { command: [envoy.binaryPath, ...envoy.args] },
    warnings: warnings.map(({ source, message }): JsonObject => ({ source, message })),
    bootstrap: redactSecrets(document),
  };
  return { config, explanation };
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
