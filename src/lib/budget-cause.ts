// SPDX-License-Identifier: Apache-2.0
import type { SpentBudget } from "./budget.ts";
import { type HostLimits, neededFiles, reservedFiles, unlimitedFiles } from "./host-limits.ts";

/** A limit of the machine that a budget's size follows from, and what to do about it. */
export interface BudgetCause {
  readonly cause: string;
  readonly advice: string;
}

const mib = 1024 * 1024;
const unlimitedBytes = 2 ** 50;

/** @returns undefined for a budget that would not be larger on a larger machine, or that a setting has made */
export function causeOf({ spec, size }: Pick<SpentBudget, "spec" | "size">, host: HostLimits): BudgetCause | undefined {
  const sizeOn = (limits: Partial<HostLimits>): number => Math.max(1, Math.floor(spec.size({ ...host, ...limits })));
  if (sizeOn({}) !== size) return undefined;
  const [memory, files] = [{ memoryBytes: unlimitedBytes }, { openFiles: unlimitedFiles }];
  const isBoth = sizeOn(memory) === size && sizeOn(files) === size && sizeOn({ ...memory, ...files }) > size;
  const causes = [
    ...(isBoth || sizeOn(memory) > size
      ? [[`memory limit of ${String(Math.floor(host.memoryBytes / mib))} MiB`, "raise the container's memory limit"]]
      : []),
    ...(isBoth || sizeOn(files) > size
      ? [[`limit of ${String(host.openFiles + reservedFiles)} open files`, raiseFiles]]
      : []),
  ];
  if (causes.length === 0) return undefined;
  const join = (index: 0 | 1): string => causes.map((texts) => texts[index]).join(" and ");
  return { cause: join(0), advice: join(1) };
}

const raiseFiles = `raise the hard limit of open files (LimitNOFILE, ulimit -Hn) to ${String(neededFiles.usual)} at least`;

/** What is wrong with a limit of open files that does not suffice without any traffic; undefined for a higher one. */
export function describeFewFiles({ openFiles }: HostLimits) {
  const limit = openFiles + reservedFiles;
  if (limit >= neededFiles.least) return undefined;
  return { limit, needed: neededFiles.least, advice: `${raiseFiles}, and restart the container` };
}
