// SPDX-License-Identifier: Apache-2.0
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBareProcess, startMeasuredPod } from "./agent-under-test.ts";
import { canBlackHole, execInBlackHoleMs } from "./black-hole.ts";
import { type Figure, median } from "./figure.ts";

export const name = "startup";

const rounds = 10;

/** Medians of alternating starts: a bare Node.js process, then the agent with its Envoy. */
export async function run(): Promise<readonly Figure[]> {
  await using directory = await temporaryDirectory();
  const bareMs: number[] = [];
  const execMs: number[] = [];
  const firstSecretMs: number[] = [];
  const readyMs: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    await using bare = await startBareProcess(directory.path);
    await using agent = await startMeasuredPod();
    if (round === 0) continue; // the first start reads the files from the disk
    bareMs.push(bare.firstLineMs);
    execMs.push(agent.times.execMs);
    firstSecretMs.push(agent.times.firstSecretMs);
    readyMs.push(agent.times.readyMs);
  }
  const bare = median(bareMs);
  const blackHole = await blackHoleFigures();
  return [
    { name: "bare Node.js with one HTTP port: start to its first line", value: bare, unit: "ms" },
    { name: "agent: start to Envoy's exec", value: median(execMs), unit: "ms" },
    { name: "agent: start to the first secret in Envoy", value: median(firstSecretMs), unit: "ms" },
    { name: "agent: start to ready", value: median(readyMs), unit: "ms" },
    { name: "Envoy's exec in bare starts", value: median(execMs) / bare, unit: "x", limit: 1.8 },
    ...blackHole,
  ];
}

/** What it costs that the clouds' metadata address swallows packets and nobody said which cloud it is. */
async function blackHoleFigures(): Promise<readonly Figure[]> {
  if (!canBlackHole()) return [];
  const noneMs: number[] = [];
  const unsaidMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    noneMs.push(await execInBlackHoleMs("none"));
    unsaidMs.push(await execInBlackHoleMs(undefined));
  }
  const [none, unsaid] = [median(noneMs), median(unsaidMs)];
  return [
    { name: "no metadata server, CLOUD_PLATFORM=none: start to Envoy's exec", value: none, unit: "ms" },
    { name: "no metadata server, CLOUD_PLATFORM not set: start to Envoy's exec", value: unsaid, unit: "ms" },
    { name: "the same in starts with CLOUD_PLATFORM=none", value: unsaid / none, unit: "x" },
    { name: "the same beyond CLOUD_PLATFORM=none", value: unsaid - none, unit: "ms", limit: 10 },
  ];
}
