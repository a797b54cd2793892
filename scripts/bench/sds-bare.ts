// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { DiscoveryResponse } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { asAgent, startProgram } from "./child-program.ts";

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
  const server = await startProgram(join(import.meta.dirname, "sds-bare-server.cjs"), [socketPath, response], asAgent);
  return {
    pid: server.pid,
    socketPath,
    rotate: () => {
      server.tell("rotate");
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
