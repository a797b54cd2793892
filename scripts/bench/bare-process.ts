// SPDX-License-Identifier: Apache-2.0
// The bare Node.js process that the agent is measured beside.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface BareProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  /** From its start to its first line, in milliseconds. */
  readonly firstLineMs: number;
}

const bareProgram = `require("node:http")
  .createServer((request, response) => response.end("ok"))
  .listen(0, "127.0.0.1", function () { process.stdout.write(this.address().port + "\\n"); });`;

/** A Node.js process that does nothing but serve one HTTP port, started as a file like any program. */
export async function startBareProcess(directory: string): Promise<BareProcess> {
  const file = join(directory, "bare.cjs");
  writeFileSync(file, bareProgram);
  const startMs = performance.now();
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const { firstLineMs, port } = await new Promise<Pick<BareProcess, "firstLineMs" | "port">>((resolve, reject) => {
    child.once("error", reject);
    child.stdout.once("data", (line: Buffer) => {
      resolve({ firstLineMs: performance.now() - startMs, port: Number(line.toString()) });
    });
  });
  return {
    pid: child.pid ?? 0,
    port,
    firstLineMs,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
