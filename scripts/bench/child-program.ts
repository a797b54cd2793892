// SPDX-License-Identifier: Apache-2.0
import { type ForkOptions, fork } from "node:child_process";
import { once } from "node:events";
import { engineEnv, engineFlags } from "../../test/support/agent-engine.ts";

/** The engine as the agent has it. */
export const asAgent: ForkOptions = { execArgv: [...engineFlags], env: { ...process.env, ...engineEnv } };

/** A program in a process of its own, which sends a message when it is up. Disposing it kills it. */
export interface ChildProgram extends AsyncDisposable {
  readonly pid: number;
  /** What it sent when it was up. */
  readonly first: unknown;
  tell(word: string): void;
  /** @returns its answer */
  ask(word: string): Promise<unknown>;
}

/** @throws when it ends before it is up */
export async function startProgram(
  path: string,
  args: readonly string[],
  options: ForkOptions = { execArgv: [] },
): Promise<ChildProgram> {
  const child = fork(path, args, options);
  const exited = once(child, "exit");
  const failed = exited.then(() => {
    throw new Error(`a program of the bench has ended: ${[path, ...args].join(" ")}`);
  });
  failed.catch(() => undefined); // it ends with the suite
  const [first] = (await Promise.race([once(child, "message"), failed])) as [unknown];
  return {
    pid: child.pid ?? 0,
    first,
    tell: (word) => child.send(word),
    async ask(word) {
      const answer = once(child, "message");
      child.send(word);
      const [facts] = (await Promise.race([answer, failed])) as [unknown];
      return facts;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
