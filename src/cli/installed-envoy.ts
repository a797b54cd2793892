// SPDX-License-Identifier: Apache-2.0
import { existsSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import { defaultBinaryPath } from "../config/index.ts";

/** Where no Envoy is at the default path, as on a developer's machine, the one that `npm start` installed is used. */
export async function withInstalledEnvoy(
  config: AgentConfig,
  env: Readonly<Record<string, string>>,
): Promise<AgentConfig> {
  const { binaryPath } = config.envoy;
  if (config.disableEnvoy || binaryPath !== defaultBinaryPath || existsSync(binaryPath)) return config;
  const { findInstalledEnvoy } = await import("../dev/index.ts");
  const installed = await findInstalledEnvoy(env, dirname(dirname(realpathSync(process.argv[1] ?? "."))));
  if (installed === undefined) return config;
  const message = `there is no Envoy at ${binaryPath}; using the one that \`npm start\` installed: ${installed}`;
  const warnings = [...config.warnings, { source: "binaryPath", message }];
  return { ...config, warnings, envoy: { ...config.envoy, binaryPath: installed } };
}
