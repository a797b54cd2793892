// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderMergedBootstrap } from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/agent-config.ts";
import { loadRunningEnvoy } from "../../envoy/index.ts";
import { assertNever } from "../../lib/errors.ts";

const timeoutMs = 30_000;

/**
 * Checks whether the configured Envoy accepts bootstrap and command line. Starts nothing else and leaves nothing
 * behind.
 * @returns the reason why Envoy rejects them; empty if it accepts them
 */
export async function validateWithEnvoy({ bootstrap, envoy }: AgentConfig, stop: AbortSignal): Promise<string> {
  const { validateBootstrap } = await loadRunningEnvoy();
  const directory = await mkdtemp(join(tmpdir(), "attache-explain-"));
  try {
    const document = renderMergedBootstrap(bootstrap);
    const path = document === undefined ? bootstrap.path : join(directory, "envoy.json");
    if (document !== undefined) await writeFile(path, JSON.stringify(document), { mode: 0o600 });
    const { binaryPath, env, args } = envoy;
    const program = { binaryPath, env, args: ["-c", path, ...args.slice(2)], user: undefined };
    const validation = await validateBootstrap(program, timeoutMs, stop);
    switch (validation.kind) {
      case "accepted":
        return "";
      case "rejected":
        return validation.output === "" ? "Envoy rejected the bootstrap without a reason" : validation.output;
      case "unknown":
        return `Envoy could not be run: ${validation.problem}`;
      default:
        return assertNever(validation);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
