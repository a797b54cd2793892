// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderBootstrap } from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/agent-config.ts";
import { deadline, systemClock } from "../../lib/async/clock.ts";

const timeoutMs = 30_000;

/**
 * Asks the configured Envoy whether it accepts bootstrap and command line. Nothing is started but that check, and
 * nothing is left behind.
 * @returns what Envoy has against it; empty when nothing
 */
export async function validateWithEnvoy({ bootstrap, envoy }: AgentConfig, stop: AbortSignal): Promise<string> {
  const { execa } = await import("./execa.ts");
  const directory = await mkdtemp(join(tmpdir(), "attache-explain-"));
  try {
    const path = bootstrap.kind === "generated" ? join(directory, "envoy.json") : bootstrap.path;
    if (bootstrap.kind === "generated") {
      await writeFile(path, JSON.stringify(renderBootstrap(bootstrap.config)), { mode: 0o600 });
    }
    using limit = deadline(systemClock, timeoutMs, stop);
    const args = ["-c", path, ...envoy.args.slice(2), "--mode", "validate"];
    const result = await execa(envoy.binaryPath, args, {
      reject: false,
      env: envoy.env,
      extendEnv: false,
      stdin: "ignore",
      stdout: "ignore",
      cancelSignal: limit.signal,
    });
    if (!result.failed) return "";
    const said = result.stderr.trim();
    return said === "" ? (result.shortMessage ?? "Envoy could not be run") : said;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
