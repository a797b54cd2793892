// SPDX-License-Identifier: Apache-2.0
import { preflightBootstrap } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";

/** Says what of the bootstrap and of the override Envoy's API does not have, by field, while Envoy reads them. */
export async function tellPreflight(config: AgentConfig, log: Logger): Promise<void> {
  if (config.disableEnvoy) return;
  try {
    for (const { document, path, message, certain } of await preflightBootstrap(config)) {
      log[certain ? "error" : "warn"]("Envoy's bootstrap does not fit Envoy's API", {
        document,
        path,
        problem: message,
      });
    }
  } catch (error) {
    log.warn("the bootstrap could not be checked", { cause: describeError(error) });
  }
}
