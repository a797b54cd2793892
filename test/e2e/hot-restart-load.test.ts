// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { startEnvoy } from "../../src/envoy/index.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { freePorts } from "../support/free-ports.ts";
import { connectingClient, http2Client, keepAliveClient, manyConnectionsClient } from "../support/load/http-clients.ts";
import { startSteadyLoad } from "../support/load/steady-load.ts";
import { staticEnvoy } from "../support/static-envoy.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { testLog } from "../support/test-log.ts";

const swaps = 20;
const openConnections = 1_000;
const requestsPerSecond = 500;
/** Four of five requests go to the open connections: each has its turn every 2.5 s, so once while the old epoch drains. */
const parentShutdownMs = 3_000;

test("20 hot restarts under 500 requests a second and 1,000 open connections lose nothing", {
  timeout: 180_000,
}, async () => {
  await using directory = await temporaryDirectory();
  const [admin = 0, listener = 0] = await freePorts(2);
  const fixture = await staticEnvoy(directory.path, {}, { admin, listener });
  const hotRestart = { baseId: 200_000 + admin, liveWithinMs: 10_000, parentShutdownMs };
  const { log, records } = testLog();
  const deps = { log, clock: systemClock, random: Math.random };
  await using envoy = startEnvoy({ ...fixture.config, hotRestart }, deps);
  await fixture.untilLive();
  const many = manyConnectionsClient(openConnections);
  const others = [connectingClient(), keepAliveClient(), http2Client()];
  const clients = others.flatMap((other) => [many, many, many, many, other]);
  const load = startSteadyLoad({ requestsPerSecond, clients, pick: () => listener });
  for (let swap = 1; swap <= swaps; swap++) {
    expect(await envoy.hotRestart()).toMatchObject({ kind: "completed", epoch: swap });
  }
  const report = await load.stop();
  expect(report.failures).toEqual([]);
  expect(report.requests).toBeGreaterThan(swaps * requestsPerSecond);
  expect(records.filter(({ level }) => level === "error")).toEqual([]);
});
