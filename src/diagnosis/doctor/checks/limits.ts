// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile } from "node:fs/promises";
import type { AgentConfig } from "../../../config/index.ts";
import { neededFiles } from "../../../lib/host-limits.ts";
import { type Limit, parseLimits } from "../../../lib/process-limits.ts";
import { type Check, fail, type Finding, ok, warn } from "../check.ts";
import { type Machine, machineOf } from "../machine/machine.ts";
import { cpuFindings, memoryFindings, pidFindings } from "../machine/resource-limits.ts";

/** What the system lets agent and Envoy use, against what they need. */
export const limitsCheck: Check = {
  name: "limits",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    const found = await Promise.all([
      openFileFindings(machine),
      memoryFindings(machine),
      cpuFindings(),
      pidFindings(),
      coreFileFindings(context.config, machine),
    ]);
    return found.flat();
  },
};

const { least: leastFiles, usual: usualFiles } = neededFiles;
const fullShare = 0.9;

/** A process that runs has its own limit; one that is started gets the hard limit, because the agent raises the soft one. */
async function openFileFindings({ agent, envoys }: Machine): Promise<readonly Finding[]> {
  const check = "limits.open-files";
  const processes = [agent, ...envoys].filter((one) => one !== undefined);
  const readings = await Promise.all(
    processes.map(async ({ pid, name }) => ({ pid, name, ...(await readOpenFiles(pid)) })),
  );
  for (const { pid, name, limit, open } of readings) {
    const most = limit?.soft;
    if (most === undefined || open === undefined || open < most * fullShare) continue;
    const fact = `${name} (process ${String(pid)}) has ${String(open)} of ${String(most)} files open`;
    return [fail(check, fact, `Raise the limit of open files above ${String(most)}, or close connections.`)];
  }
  const own = await readOpenFiles("self");
  const limits = readings.length > 0 ? readings.map(({ limit }) => limit?.soft) : [own.limit?.hard];
  const least = Math.min(...limits.map((limit) => limit ?? Number.POSITIVE_INFINITY));
  const text = Number.isFinite(least) ? String(least) : "unlimited";
  const raise = `Raise the hard limit of open files (LimitNOFILE, ulimit -Hn) to ${String(usualFiles)} at least`;
  if (least < leastFiles) {
    const fact = `${text} open files; agent and Envoy need ${String(leastFiles)} each without any traffic`;
    return [fail(check, fact, `${raise}, and restart the container.`)];
  }
  if (least < usualFiles) {
    const fact = `${text} open files; Envoy needs two for each connection`;
    return [warn(check, fact, `${raise}; the runtime of the container sets it.`)];
  }
  return [ok(check, `${text} open files`)];
}

interface OpenFiles {
  readonly limit: Limit | undefined;
  /** Undefined for another user's process. */
  readonly open: number | undefined;
}

async function readOpenFiles(pid: number | "self"): Promise<OpenFiles> {
  const text = await readFile(`/proc/${String(pid)}/limits`, "utf8").catch(() => undefined);
  const open = await readdir(`/proc/${String(pid)}/fd`).catch(() => undefined);
  return { limit: text === undefined ? undefined : parseLimits(text).openFiles, open: open?.length };
}

/** Core files have private keys in them. The agent forbids them when it starts. */
async function coreFileFindings(
  { host: { coreDumps } }: AgentConfig,
  { agent, envoys }: Machine,
): Promise<readonly Finding[]> {
  const check = "limits.core-files";
  const processes = [agent, ...envoys].filter((one) => one !== undefined);
  const texts = await Promise.all(
    processes.map(({ pid }) => readFile(`/proc/${String(pid)}/limits`, "utf8").catch(() => undefined)),
  );
  const allowed = processes.filter((_one, index) => {
    const text = texts[index];
    return text !== undefined && parseLimits(text).coreFileBytes.soft !== 0;
  });
  if (!coreDumps && allowed.length > 0) {
    const who = allowed.map(({ name, pid }) => `${name} (process ${String(pid)})`).join(", ");
    const cure = "Set the limit of core files to 0 for the container (ulimit -c 0): they contain private keys.";
    return [warn(check, `${who} may write core files`, cure)];
  }
  if (coreDumps && processes.length > 0 && allowed.length < processes.length) {
    const fact = "ISTIO_ENVOY_ENABLE_CORE_DUMP is set, and the limit of core files is 0, so none is written";
    return [warn(check, fact, "Raise the limit of core files (ulimit -c), or unset ISTIO_ENVOY_ENABLE_CORE_DUMP.")];
  }
  return [];
}
