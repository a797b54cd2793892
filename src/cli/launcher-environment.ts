// SPDX-License-Identifier: Apache-2.0

/**
 * Variables that the launcher sets: the name that it was called by, the names of the variables that it added, and
 * those that its shell cannot pass on.
 */
const launcherVariables = {
  programName: "ATTACHE_PROGRAM_NAME",
  added: "ATTACHE_LAUNCHER_ENV",
  lost: "ATTACHE_LAUNCHER_LOST",
} as const;

/** The environment as the user set it, without the launcher's own variables, and the name that it was called by. */
export function withoutLauncher(env: Readonly<Record<string, string>>): {
  readonly programName: string;
  readonly env: Readonly<Record<string, string>>;
} {
  const added = env[launcherVariables.added]?.split(" ") ?? [];
  const ours = new Set<string>([...Object.values(launcherVariables), ...added]);
  return {
    programName: env[launcherVariables.programName] ?? "attache",
    env: {
      ...Object.fromEntries(Object.entries(env).filter(([name]) => !ours.has(name))),
      ...parseEnvironment(Buffer.from(env[launcherVariables.lost] ?? "", "base64").toString()),
    },
  };
}

/** The environment as the user set it. */
export function userEnvironment(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return withoutLauncher(env).env;
}

/** Variables as in /proc/PID/environ: `NAME=value`, each followed by a zero byte. */
function parseEnvironment(text: string): Readonly<Record<string, string>> {
  const entries = text.split("\u0000").filter((entry) => entry.includes("="));
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}
