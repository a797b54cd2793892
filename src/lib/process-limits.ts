// SPDX-License-Identifier: Apache-2.0

/** One limit of a process; undefined is unlimited. */
export interface Limit {
  readonly soft: number | undefined;
  readonly hard: number | undefined;
}

export interface ProcessLimits {
  readonly openFiles: Limit;
  readonly coreFileBytes: Limit;
  readonly addressSpaceBytes: Limit;
}

const unlimited: Limit = { soft: undefined, hard: undefined };

/** Parses the text of `/proc/PID/limits`. A limit that is not in the text counts as unlimited. Source: proc(5) */
export function parseLimits(text: string): ProcessLimits {
  return {
    openFiles: limitOf(text, "Max open files"),
    coreFileBytes: limitOf(text, "Max core file size"),
    addressSpaceBytes: limitOf(text, "Max address space"),
  };
}

function limitOf(text: string, name: string): Limit {
  const match = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(text);
  return match === null ? unlimited : { soft: numberOf(match[1]), hard: numberOf(match[2]) };
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === "unlimited" ? undefined : Number(text);
}
