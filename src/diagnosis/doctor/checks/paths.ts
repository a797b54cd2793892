// SPDX-License-Identifier: Apache-2.0
import { access, constants, stat } from "node:fs/promises";
import type { AgentConfig } from "../../../config/index.ts";
import { systemCode } from "../../../lib/errors.ts";
import { type Check, fail, type Finding, ok, warn } from "../check.ts";
import { agentPath, type Machine, machineOf } from "../machine/machine.ts";
import { type DirectoryAccess, examineDirectory, writeObstacle } from "../machine/write-access.ts";
import { type WrittenDirectory, writtenDirectories } from "../machine/written-directories.ts";

const kib = 1024;

/** The directories that the agent writes to. They are looked at, and nothing is written. */
export const pathsCheck: Check = {
  name: "paths",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    if (!machine.isUserKnown)
      return [ok("paths", "what the agent may write cannot be seen: its process is not visible")];
    const { config } = context;
    const found = await Promise.all(writtenDirectories(config).map((directory) => examine(directory, machine)));
    const problems = [...found.flat(), ...(await examineTermination(config, machine))];
    if (problems.length > 0) return problems;
    const paths = new Set(writtenDirectories(config).map(({ path }) => path));
    return [ok("paths", `writable for uid ${String(machine.user.uid)}: ${[...paths].join(", ")}`)];
  },
};

async function examine(directory: WrittenDirectory, machine: Machine): Promise<readonly Finding[]> {
  const { check, path, what, isNeeded, isOptional = false, setting } = directory;
  const { user } = machine;
  const found = await examineDirectory(agentPath(machine, path), user);
  const obstacle = writeObstacle(found, user);
  // without a module to keep, the directory is never made
  if (obstacle !== undefined && isOptional && !found.exists) return [];
  const report = isNeeded ? fail : warn;
  if (obstacle !== undefined) {
    const cure = `Mount a writable directory there, such as an emptyDir with fsGroup, or set ${setting} to one.`;
    return [report(check, `${path} cannot be written (${what}): ${obstacle}`, cure)];
  }
  const full = spaceProblem(found, directory);
  if (full === undefined) return [];
  return [report(check, `${path} (${what}): ${full}`, `Make space there, or set ${setting} to another directory.`)];
}

function spaceProblem(found: DirectoryAccess, { leastBytes }: WrittenDirectory): string | undefined {
  if (found.kind !== "writable" || found.space === undefined) return undefined;
  const { freeBytes, freeFiles } = found.space;
  if (freeFiles !== undefined && freeFiles < 16) return `the file system of ${found.at} has no inodes left`;
  if (freeBytes >= leastBytes) return undefined;
  return `the file system of ${found.at} has ${String(Math.floor(freeBytes / kib))} KiB left of the ${String(leastBytes / kib)} KiB that are needed`;
}

/** Kubernetes makes the file; without it there is no message. */
async function examineTermination({ recorder }: AgentConfig, machine: Machine): Promise<readonly Finding[]> {
  const path = recorder.terminationMessagePath;
  if (path === undefined || path === "" || machine.user.uid !== process.geteuid?.()) return [];
  const absolute = agentPath(machine, path);
  const status = await stat(absolute).catch(() => undefined);
  if (status === undefined) return [];
  const problem = await access(absolute, constants.W_OK).then(() => undefined, systemCode);
  if (problem === undefined) return [];
  const fact = `${path} cannot be written (${problem}), so a failed exit leaves no termination message`;
  return [
    warn("paths.termination-message", fact, "Let the agent's user write it, or set ATTACHE_TERMINATION_MESSAGE_PATH."),
  ];
}
