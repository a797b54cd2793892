// SPDX-License-Identifier: Apache-2.0
import { interceptionFlags } from "../../config/interception/settings.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "capture a pod's or machine's traffic for Envoy, with iptables or nftables",
  flags: interceptionFlags,
  note:
    "A flag that is not given has the value of its variable: REDIRECT_DNS for --redirect-dns. The configuration reference\n" +
    "lists the variables, also those without a flag. Try --explain and --dry-run first: they change nothing.",
  examples: [
    {
      line: "attache istio-iptables -b '*' -i '*' -d 15020,15021,15090 --explain",
      meaning: "what would happen to this pod's connections, in words",
    },
    {
      line: "attache istio-iptables -b '*' -i '*' --dry-run",
      meaning: "the rules themselves; the kernel is not changed",
    },
  ],
  exitCodes: [
    [0, "done, or there was nothing to do"],
    [1, "the rules could not be applied or removed"],
    [126, "--run-validation: connections are not captured"],
  ],
  async run(context) {
    const { runIstioIptables } = await import("../interception/run-istio-iptables.ts");
    return await runIstioIptables(context);
  },
};
