// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DiscoveryResponse } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { engineEnv, engineFlags } from "../../test/support/agent-engine.ts";

/** A leaf, an intermediate and a key. */
const secretBytes = 4_000;

/** What has an SDS socket. */
export interface SdsServer {
  readonly pid: number;
  readonly socketPath: string;
}

/** A bare Node.js process that answers with as many bytes as an agent. */
export interface BareSdsServer extends SdsServer, AsyncDisposable {
  /** Sends another certificate to all streams. */
  rotate(): void;
}

export async function startBareServer(socketPath: string): Promise<BareSdsServer> {
  const value = Buffer.from(`-----BEGIN CERTIFICATE-----${"x".repeat(secretBytes)}`);
  const facts = DiscoveryResponse.fromPartial({
    versionInfo: "1",
    resources: [{ typeUrl: "secret", value }],
    nonce: "1",
  });
  const response = Buffer.from(DiscoveryResponse.encode(facts).finish()).toString("base64");
  const child = fork(join(import.meta.dirname, "sds-bare-server.cjs"), [socketPath, response], {
    execArgv: [...engineFlags],
    env: { ...process.env, ...engineEnv },
  });
  const exited = once(child, "exit");
  await once(child, "message");
  return {
    pid: child.pid ?? 0,
    socketPath,
    rotate: () => child.send("rotate"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
