// SPDX-License-Identifier: Apache-2.0
import { type ConfigInput, type JudgedConfig, judgeConfig, readConfigInput } from "../config/index.ts";

type Environment = Readonly<Record<string, string>>;

/**
 * The inputs of an agent's configuration, for a command that looks at it. The sockets of others are looked at once, and
 * not waited for.
 * @param args those of `proxy`
 * @throws the signal's reason
 */
export async function readInputOf(
  env: Environment,
  args: readonly string[],
  signal: AbortSignal,
): Promise<ConfigInput> {
  const input = await readConfigInput({ env: { ...env, ATTACHE_FOREIGN_SDS_WAIT: "0s" }, args, stop: signal });
  return { ...input, env };
}

/** The configuration and its problems, from `readInputOf`. */
export async function readConfigOf(
  env: Environment,
  args: readonly string[],
  signal: AbortSignal,
): Promise<JudgedConfig> {
  return judgeConfig(await readInputOf(env, args, signal));
}
