// SPDX-License-Identifier: Apache-2.0
import type { RunOptions } from "../options.ts";
import { createPrograms, ProgramError, type Programs } from "./programs.ts";

/** The files of a node must not have an effect in a pod: names are looked up in files only. */
const sandbox = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /etc/nsswitch.conf && exec "$@"', "sh"];

/**
 * The programs as the options want them: in CNI mode each in a mount namespace of its own, with the file of the pod's
 * network namespace as the lock of iptables (from 1.8.6 on).
 * @param env the whole environment of the programs
 * @param warn called if there can be no mount namespace; the programs run without it then
 */
export async function providePrograms(
  { cniMode, networkNamespace }: Pick<RunOptions, "cniMode" | "networkNamespace">,
  env: Readonly<Record<string, string>>,
  warn: (problem: ProgramError) => void,
): Promise<Programs> {
  if (!cniMode) return createPrograms(env);
  const withLock = networkNamespace === undefined ? env : { ...env, XTABLES_LOCKFILE: networkNamespace };
  const programs = createPrograms(withLock, sandbox);
  try {
    await programs.run({ command: "true" });
    return programs;
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    warn(error);
    return createPrograms(withLock);
  }
}
