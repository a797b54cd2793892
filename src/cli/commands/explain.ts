// SPDX-License-Identifier: Apache-2.0
import { proxyFlags } from "../../config/sources/flags.ts";
import { explainFlags } from "../explain/explain-flags.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "print every effective setting with its source, and the bootstrap, without starting anything",
  usage: "[sidecar|router|waypoint]",
  words: ["sidecar", "router", "waypoint"],
  flags: { ...explainFlags, ...proxyFlags },
  examples: [
    { line: "attache explain", meaning: "every setting of the agent in this environment, and where it comes from" },
    { line: "attache explain router --json", meaning: "the same of a gateway, for programs" },
  ],
  exitCodes: [
    [0, "the configuration is valid, and with --validate Envoy accepts it"],
    [1, "Envoy rejects the bootstrap"],
  ],
  async run(context) {
    const { runExplain } = await import("../explain/run-explain.ts");
    return await runExplain(context);
  },
};
