// SPDX-License-Identifier: Apache-2.0

/** The engine's flags that shape its memory, as the launcher gives them to the agent. */
export const launcherFlags: readonly string[] = [
  "--max-semi-space-size=1",
  "--max-old-space-size=48",
  "--v8-pool-size=1",
  "--use-openssl-ca",
];

/** The same for a part of the agent in a process of its own, as an agent has them whose start is over. */
export const engineFlags: readonly string[] = [
  ...launcherFlags,
  "--optimize-for-size",
  "--disable-warning=ExperimentalWarning",
];

/** The allocator's variables and the threads, as the launcher sets them. */
export const engineEnv: Readonly<Record<string, string>> = {
  UV_THREADPOOL_SIZE: "2",
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_MMAP_THRESHOLD_: "32768",
};
