// SPDX-License-Identifier: Apache-2.0
import { renderBootstrap } from "../../bootstrap/index.ts";
import { parseConfig, readConfigInput } from "../../config/index.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { CommandContext } from "../command.ts";

export async function runExplain({ args, env, print }: CommandContext): Promise<number> {
  const config = parseConfig(await readConfigInput({ env, args }));
  const bootstrap = config.bootstrap.kind === "generated" ? renderBootstrap(config.bootstrap.config) : config.bootstrap;
  print(`${JSON.stringify({ node: config.node, envoy: config.envoy.args, bootstrap }, undefined, 2)}\n`);
  return exitCode.ok;
}
