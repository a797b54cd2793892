// SPDX-License-Identifier: Apache-2.0
import { networkInterfaces } from "node:os";
import type { ParsedInterception } from "../../config/interception/parse-interception.ts";
import {
  type Applied,
  applyRules,
  lockRules,
  providePrograms,
  type RuleSet,
  loadValidation,
} from "../../interception/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import type { CommandContext } from "../command.ts";

/**
 * Applies or removes the rules and tests them, as the options say, and logs what was done.
 * @throws InterceptionError
 */
export async function runInterception(
  options: ParsedInterception,
  set: RuleSet,
  { env, stop }: Pick<CommandContext, "env" | "stop">,
  log: Logger,
): Promise<void> {
  const { run } = options;
  const programs = await providePrograms(run, env, (problem) => {
    log.warn("programs run without a mount namespace of their own", { error: describeError(problem) });
  });
  if (!run.skipRuleApply) {
    await using lock = lockRules({ clock: systemClock, log, stop });
    const { change, backends } = await applyRules({ ...run, set, locked: lock.held }, programs);
    log.info(describe(change, run.cleanupOnly), { backend: backends, families: set.families });
  }
  if (!run.runValidation || run.cleanupOnly) return;
  const { validateCapture } = await loadValidation();
  await validateCapture(
    { ...options, set, addresses: interfaceAddresses() },
    { clock: systemClock, log, programs, stop },
  );
}

function interfaceAddresses(): readonly { readonly interfaceName: string; readonly cidr: string }[] {
  return Object.entries(networkInterfaces()).flatMap(([interfaceName, addresses = []]) =>
    addresses.flatMap(({ cidr, internal, address }) =>
      cidr === null || internal || /^fe[89ab]/i.test(address) ? [] : [{ interfaceName, cidr }],
    ),
  );
}

function describe(change: Applied["change"], cleanupOnly: boolean): string {
  switch (change) {
    case "none":
      return cleanupOnly ? "nothing to remove" : "nothing to do: the rules of these options are in place";
    case "applied":
      return "rules applied";
    case "completed":
      return "a part was in place: missing rules, routes and addresses added";
    case "replaced":
      return "rules of other options replaced";
    case "removed":
      return "all rules, routes and addresses removed";
  }
}
