// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { describeError } from "../lib/errors.ts";

/** Runs a command without input; what it writes is nobody's. @returns why it failed, or undefined when it ended with 0 */
export function probeCommand(command: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const [program = "", ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: "ignore" });
    const kill = (): void => {
      child.kill("SIGKILL");
    };
    signal.addEventListener("abort", kill, { once: true });
    if (signal.aborted) kill();
    const finish = (failure: string | undefined): void => {
      signal.removeEventListener("abort", kill);
      resolve(failure);
    };
    child.once("error", (error) => {
      finish(describeError(error));
    });
    child.once("close", (code, ended) => {
      if (signal.aborted) finish("command timeout exceeded: signal: killed");
      else if (code === 0) finish(undefined);
      else finish(code === null ? `signal: ${ended ?? "unknown"}` : `exit status ${String(code)}`);
    });
  });
}
