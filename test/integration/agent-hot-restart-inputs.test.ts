// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startHotRestarts } from "../../src/agent/hot-restart.ts";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import { parseConfig } from "../../src/config/index.ts";
import type { EnvoyLaunch, HotRestartOutcome } from "../../src/envoy/envoy-supervisor.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { podEnv, testInput } from "../support/parity-case.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { testLog } from "../support/test-log.ts";

const { bootstrap } = parseConfig(testInput({ env: podEnv }));
assert.ok(bootstrap.kind === "generated");
const given = bootstrap;

interface Inputs {
  /** The node's cluster in the generated bootstrap; undefined takes the file custom.json instead. */
  readonly cluster?: string;
  /** What the bootstrap of a gRPC application says, and where it is written. */
  readonly document?: string;
  readonly grpcPath?: string;
}

function makeConfig(directory: string, { cluster, document = "first", grpcPath }: Inputs = {}): AgentConfig {
  const generated = {
    ...given,
    path: join(directory, "envoy-rev.json"),
    config: { ...given.config, node: { ...given.config.node, cluster } },
  };
  return {
    bootstrap: cluster === undefined ? { kind: "file", path: join(directory, "custom.json") } : generated,
    grpcBootstrap: { path: grpcPath ?? join(directory, "grpc.json"), mode: 0o600, document: { version: document } },
    disableEnvoy: false,
    envoy: { hotRestart: {}, binaryPath: "/envoy", args: [], admin: {}, user: undefined },
    status: { port: 15_020 },
    sds: { socketPath: "sds" },
    xds: { kind: "files", directory: "resources" },
  } as unknown as AgentConfig;
}

/** Hot restarts of an Envoy that takes over whenever it is told to, driven by a clock that stands still. */
async function startWith(directory: string, inputs: Inputs = {}) {
  const clock = new FakeClock();
  const { log, records } = testLog();
  const hotRestarts: (EnvoyLaunch | undefined)[] = [];
  const state = {
    config: makeConfig(directory, inputs),
    outcome: { kind: "completed", epoch: 1, pid: 1 } as HotRestartOutcome,
  };
  await writeFile(join(directory, "custom.json"), "{}");
  await writeFile(join(directory, "grpc.json"), "first");
  let hangup = (): void => undefined;
  const restarts = startHotRestarts(
    {
      config: state.config,
      envoy: {
        hotRestart: (launch) => {
          hotRestarts.push(launch);
          return Promise.resolve(state.outcome);
        },
      },
      onHangup: (listener) => {
        hangup = listener;
      },
    },
    { clock, log, readConfig: () => Promise.resolve(state.config) },
  );
  const errors = (): readonly string[] =>
    records.filter(({ level }) => level === "error").map(({ message }) => message);
  const idle = (): Promise<unknown> =>
    eventually(() => expect(clock.pendingDelaysMs).toHaveLength(1), { withinMs: 2_000 });
  await idle();
  return {
    state,
    hotRestarts,
    errors,
    hangUp: () => {
      hangup();
    },
    async nextCheck() {
      await clock.advance(10_000);
      await idle();
    },
    [Symbol.asyncDispose]: () => restarts[Symbol.asyncDispose](),
  };
}

test("a custom bootstrap that is missing for a moment does not end hot restarts", async () => {
  await using root = await temporaryDirectory();
  await using agent = await startWith(root.path);
  const custom = join(root.path, "custom.json");
  await rm(custom);
  await agent.nextCheck();
  expect([agent.hotRestarts.length, agent.errors()]).toEqual([0, []]);
  await writeFile(custom, '{"changed":true}');
  await agent.nextCheck();
  expect(agent.hotRestarts).toHaveLength(1);
  await rm(custom);
  await agent.nextCheck();
  await agent.nextCheck();
  await agent.nextCheck();
  expect(agent.errors()).toEqual(["hot restart failed; keeping the running Envoy"]);
});

test("a file that cannot be written leaves nothing half-written, is reported, and the hot restart is retried", async () => {
  await using root = await temporaryDirectory();
  await using agent = await startWith(root.path, { cluster: "before" });
  const cluster = async (): Promise<string> => {
    const text = await readFile(join(root.path, "envoy-rev.json"), "utf8");
    return (JSON.parse(text) as { node: { cluster: string } }).node.cluster;
  };
  // a path below a file cannot be written, like one on a full disk; the bootstrap itself is written before it
  await writeFile(join(root.path, "full"), "");
  agent.state.config = makeConfig(root.path, { cluster: "after", grpcPath: join(root.path, "full/grpc.json") });
  await agent.nextCheck();
  expect([agent.hotRestarts.length, agent.errors()]).toEqual([0, ["hot restart failed; keeping the running Envoy"]]);
  expect(await cluster()).toBe("before");
  await agent.nextCheck();
  expect(agent.errors()).toHaveLength(1);
  await rm(join(root.path, "full"));
  await mkdir(join(root.path, "full"));
  await agent.nextCheck();
  expect(agent.hotRestarts).toHaveLength(1);
  expect(await cluster()).toBe("after");
});

test("a bootstrap that Envoy rejects is replaced by that of the running Envoy, and is not retried by itself", async () => {
  await using root = await temporaryDirectory();
  await using agent = await startWith(root.path);
  agent.state.config = makeConfig(root.path, { document: "second" });
  agent.state.outcome = { kind: "failed", reason: "rejected" };
  await writeFile(join(root.path, "custom.json"), '{"changed":true}');
  await agent.nextCheck();
  await agent.nextCheck();
  expect(agent.hotRestarts).toHaveLength(1);
  expect(JSON.parse(await readFile(join(root.path, "grpc.json"), "utf8"))).toEqual({ version: "first" });
  agent.hangUp();
  await eventually(() => expect(agent.hotRestarts).toHaveLength(2), { withinMs: 2_000 });
});
