// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { applyRules, buildRuleSet } from "../../src/interception/index.ts";
import { planChange, type Target } from "../../src/interception/kernel/plan.ts";
import { readKernel } from "../../src/interception/kernel/kernel-state.ts";
import { createPrograms, ProgramError, type Programs } from "../../src/interception/kernel/programs.ts";
import type { Backend } from "../../src/interception/options.ts";
import type { RuleSet } from "../../src/interception/rules.ts";
import { machineOf, parseOptions } from "./recorded-interception.ts";

/*
 * Runs in a network namespace of its own: `unshare -n node kernel-rules-program.ts TASKS`. Does the tasks one after the
 * other, and prints what each of them made of the namespace, as JSON.
 */

export interface KernelOptions {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly resolvConf: string;
}

export type KernelTask =
  /** Applies, applies again, and removes. */
  | { readonly kind: "apply"; readonly backend: Backend; readonly options: KernelOptions }
  /** Applies one set, replaces it by the other, and removes that. */
  | { readonly kind: "replace"; readonly from: Place; readonly to: Place }
  /** Lets every step of a replacement fail, one after the other. */
  | { readonly kind: "fail"; readonly from?: Place; readonly to: Place; readonly foreign?: readonly string[] };

export interface Place {
  readonly backend: Backend;
  readonly options: KernelOptions;
}

export interface Namespace {
  readonly ipv4: string;
  readonly ipv6: string;
  /** What the legacy variant has, if anything. */
  readonly legacy: string;
  /** The names of all tables, of iptables-nft too, and the rules of those that are not iptables'. */
  readonly nftables: string;
  readonly network: string;
}

export interface KernelResult {
  readonly before: Namespace;
  readonly applied: Namespace;
  /** What the second run with the same options said, and what it left. */
  readonly again?: readonly [string, Namespace];
  /** What a run with other options said without and with `--reconcile`. */
  readonly replacing?: readonly [string, string];
  /** The target applied to an empty namespace. */
  readonly fresh?: Namespace;
  /** For each failure: what was said, and the namespace afterwards. */
  readonly failures?: readonly (readonly [string, Namespace])[];
  readonly cleaned: Namespace;
}

const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
const programs = createPrograms(env);
const sh = (script: string): string => execFileSync("sh", ["-c", script], { env, encoding: "utf8" });

function namespace(): Namespace {
  const tables = [...new Set(["133", ...(sh("ip rule; ip -6 rule").match(/(?<=lookup )\d+/g) ?? [])])];
  const routes = ["-4", "-6"].map((family) =>
    tables.map((table) => `ip ${family} route show table ${table} 2>/dev/null`).join(";"),
  );
  return {
    ipv4: sh("iptables-nft-save | grep -v '^#'; true"),
    ipv6: sh("ip6tables-nft-save | grep -v '^#'; true"),
    legacy: sh(
      "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names | grep -q . && { iptables-legacy-save; ip6tables-legacy-save; } | grep -v '^#'; true",
    ),
    nftables: sh("nft list tables | sort; nft list ruleset inet"),
    network: sh(`ip rule; ip -6 rule; ${routes.join(";")}; ip -o addr show lo | awk '{ print $3, $4 }'`),
  };
}

function setOf({ args, env: variables, addresses, resolvConf }: KernelOptions): RuleSet {
  return buildRuleSet(parseOptions(args, variables, machineOf({ addresses, resolvConf })).capture);
}

const modes = { reconcile: false, cleanupOnly: false, forceApply: false };

async function apply(
  { backend, options }: Place,
  more: Partial<typeof modes> = {},
  use: Programs = programs,
): Promise<string> {
  try {
    return (await applyRules({ ...modes, ...more, backend, set: setOf(options), locked: Promise.resolve() }, use))
      .change;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "AGENT_INTERCEPTION") return error.message;
    throw error;
  }
}

async function clean(place: Place): Promise<Namespace> {
  const change = await apply(place, { cleanupOnly: true });
  if (!["removed", "none"].includes(change)) throw new Error(`not removed: ${change}`);
  return namespace();
}

async function run(task: KernelTask): Promise<KernelResult> {
  const before = namespace();
  if (task.kind === "apply") {
    await assertChange(apply(task), "applied");
    const applied = namespace();
    const again = [await apply(task), namespace()] as const;
    return { before, applied, again, cleaned: await clean(task) };
  }
  if (task.kind === "replace") {
    await assertChange(apply(task.to), "applied");
    const fresh = namespace();
    await clean(task.to);
    await assertChange(apply(task.from), "applied");
    const replacing = [await apply(task.to), await apply(task.to, { reconcile: true })] as const;
    const applied = namespace();
    return { before, fresh, replacing, applied, cleaned: await clean(task.from) };
  }
  return await fail(task);
}

async function assertChange(result: Promise<string>, expected: string): Promise<void> {
  const change = await result;
  if (change !== expected) throw new Error(`${change} instead of ${expected}`);
}

async function fail({ from, to, foreign = [] }: Extract<KernelTask, { kind: "fail" }>): Promise<KernelResult> {
  for (const command of foreign) sh(command);
  if (from !== undefined) await assertChange(apply(from), "applied");
  const before = namespace();
  const state = await readKernel(programs, setOf(to.options));
  const target: Target = {
    set: setOf(to.options),
    place: to.backend.kind === "nftables" ? "nftables" : (to.backend.binary ?? "nft"),
  };
  const steps = planChange(state, target, false).length;
  const failures: (readonly [string, Namespace])[] = [];
  for (let step = 0; step < steps; step++) {
    for (const how of ["not", "partly", "after"] as const) {
      failures.push([await apply(to, { reconcile: true }, failingAt(step, how)), namespace()]);
    }
  }
  const applied = before;
  return { before, applied, failures, cleaned: await clean(to) };
}

/** The real programs, of which the one that makes a change at a step fails: before, in the middle, or after its work. */
function failingAt(step: number, how: "not" | "partly" | "after"): Programs {
  let changes = 0;
  return {
    ...programs,
    run: async (order) => {
      const isChange = order.input !== undefined && changes++ === step;
      if (!isChange) return await programs.run(order);
      const input = await order.input;
      const part = /^[^]*?\nCOMMIT\n/.exec(input)?.[0] ?? input.split(/(?<=\n)/)[0] ?? "";
      if (how === "partly") await programs.run({ ...order, input: part });
      if (how === "after") await programs.run(order);
      throw new ProgramError(order.command, `fails at step ${String(step)}`, {});
    },
  };
}

if (import.meta.main) {
  sh("ip link set lo up; sysctl -q net.ipv6.conf.all.disable_ipv6=0 2>/dev/null; true");
  const results: KernelResult[] = [];
  for (const task of JSON.parse(process.argv[2] ?? "[]") as KernelTask[]) results.push(await run(task));
  process.stdout.write(JSON.stringify(results));
}
