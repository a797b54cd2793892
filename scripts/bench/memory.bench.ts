// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBareProcess, startMeasuredPod } from "./agent-under-test.ts";
import { type Figure, median } from "./figure.ts";
import { privateMegabytes } from "./processes.ts";

export const name = "memory";

const rounds = 3;
/** By then nothing of the start is left to do. */
const restMs = 3_000;

/** Private memory at rest, of the agent and of a bare Node.js process that runs at the same time. */
export async function run(): Promise<readonly Figure[]> {
  await using directory = await temporaryDirectory();
  const bareMegabytes: number[] = [];
  const agentMegabytes: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await using bare = await startBareProcess(directory.path);
    await using agent = await startMeasuredPod();
    await pause(restMs);
    bareMegabytes.push(privateMegabytes(bare.pid));
    agentMegabytes.push(privateMegabytes(agent.pod.pid));
  }
  const bare = median(bareMegabytes);
  const agent = median(agentMegabytes);
  return [
    { name: "bare Node.js with one HTTP port", value: bare, unit: "MB" },
    { name: "agent at rest", value: agent, unit: "MB" },
    { name: "agent above bare", value: agent - bare, unit: "MB", limit: 9 },
  ];
}
