// SPDX-License-Identifier: Apache-2.0
import { proxyFlags } from "../../config/sources/flags.ts";
import { explainFlags } from "../explain/explain-flags.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "print every effective setting with its source, and the bootstrap, without starting anything",
  usage: "[sidecar|router|waypoint]",
  flags: { ...proxyFlags, ...explainFlags },
  async run(context) {
    const { runExplain } = await import("../explain/run-explain.ts");
    return await runExplain(context);
  },
};
