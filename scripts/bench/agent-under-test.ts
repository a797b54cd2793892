// SPDX-License-Identifier: Apache-2.0
// The built agent with a real Envoy, and the bare Node.js process it is measured against.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startFakeCa } from "../../test/fakes/fake-ca.ts";
import { envoyBinary } from "../../test/support/envoy-binary.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type Pod, startPod } from "../../test/support/pod.ts";

export interface MeasuredStart extends AsyncDisposable {
  readonly pod: Pod;
  /** From the start of the launcher, in milliseconds. */
  readonly times: { readonly execMs: number; readonly firstSecretMs: number; readonly readyMs: number };
}

const marker = "this line comes from the place of Envoy";

/**
 * Starts a pod whose Envoy is announced by a line of a shell script that becomes the real one, so the time to Envoy's
 * exec has the start of a shell in it, about 1 ms.
 */
export async function startMeasuredPod(): Promise<MeasuredStart> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  let startMs = 0;
  let execMs = Number.NaN;
  const prepare = ({ directory }: { readonly directory: string }): void => {
    const log = join(directory, "log");
    writeFileSync(join(directory, "envoy"), `#!/bin/sh\necho ${marker}\nexec ${envoyBinary()} "$@"\n`);
    chmodSync(join(directory, "envoy"), 0o755);
    writeFileSync(log, "");
    const watcher = watch(log, () => {
      if (Number.isNaN(execMs) && existsSync(log) && readFileSync(log, "utf8").includes(marker)) {
        execMs = performance.now() - startMs;
      }
    });
    stack.defer(() => {
      watcher.close();
    });
    startMs = performance.now();
  };
  const pod = stack.use(await startPod({ ca, prepare, proxyConfig: { binaryPath: "./envoy" } }));
  const since = async (happened: () => Promise<boolean>): Promise<number> => {
    await eventually(
      async () => {
        if (!(await happened())) throw new Error(`not within the time; the log:\n${pod.log()}`);
      },
      { withinMs: 15_000, everyMs: 3 },
    );
    return performance.now() - startMs;
  };
  const [firstSecretMs, readyMs] = await Promise.all([
    since(async () => (await pod.serials()).length > 0),
    since(async () => (await pod.readiness()).status === 200),
  ]);
  const owned = stack.move();
  return {
    pod,
    times: { execMs, firstSecretMs, readyMs },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface BareProcess extends AsyncDisposable {
  readonly pid: number;
  /** From its start to its first line, in milliseconds. */
  readonly firstLineMs: number;
}

const bareProgram = `require("node:http")
  .createServer((request, response) => response.end("ok"))
  .listen(0, "127.0.0.1", () => process.stdout.write("listening\\n"));`;

/** A Node.js process that does nothing but serve one HTTP port, started as a file like any program. */
export async function startBareProcess(directory: string): Promise<BareProcess> {
  const file = join(directory, "bare.cjs");
  writeFileSync(file, bareProgram);
  const startMs = performance.now();
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const firstLineMs = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.stdout.once("data", () => {
      resolve(performance.now() - startMs);
    });
  });
  return {
    pid: child.pid ?? 0,
    firstLineMs,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
