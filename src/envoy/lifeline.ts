// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";

/**
 * What makes Envoy die with the agent, also when the agent is killed and can do nothing any more: the kernel's
 * parent-death signal, set by `setpriv` before it becomes Envoy; else a shell that waits for the agent's end.
 */
export type Lifeline =
  | { readonly kind: "setpriv"; readonly path: string }
  | { readonly kind: "shell"; readonly path: string }
  | { readonly kind: "none" };

/** Usual places; looked at without running anything. */
export const lifelinePlaces = {
  setpriv: ["/usr/bin/setpriv", "/bin/setpriv", "/usr/local/bin/setpriv"],
  shell: ["/bin/sh", "/usr/bin/sh"],
} as const;

/**
 * The best lifeline of this system. A `setpriv` without the option (util-linux before 2.33, BusyBox) does not count:
 * it would refuse the option and Envoy would never run, so the option's name is looked for in the program itself.
 */
export function findLifeline(
  places: { readonly setpriv: readonly string[]; readonly shell: readonly string[] } = lifelinePlaces,
): Lifeline {
  const setpriv = places.setpriv.find((path) => isExecutable(path) && readFileSync(path).includes("pdeathsig"));
  if (setpriv !== undefined) return { kind: "setpriv", path: setpriv };
  const shell = places.shell.find(isExecutable);
  return shell === undefined ? { kind: "none" } : { kind: "shell", path: shell };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK | constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** A line on standard input is the good end; its end without a line means that the agent is gone. */
const guardianScript = `trap '' HUP INT QUIT TERM
read -r word
[ -n "$word" ] || kill -9 "$1" 2>/dev/null`;

/** The shell of a lifeline. */
export interface Guardian extends AsyncDisposable {
  readonly pid: number | undefined;
}

/**
 * A shell that kills process `pid` as soon as this process is gone. Only this process holds the other end of its
 * input, so the system closes it whatever ends the agent. Disposing it lets `pid` live.
 */
export function startGuardian(shellPath: string, pid: number): Guardian {
  const guardian = spawn(shellPath, ["-c", guardianScript, "attache-guardian", String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
  });
  const gone = untilGone(guardian);
  guardian.stdin.on("error", () => undefined);
  guardian.unref();
  return {
    pid: guardian.pid,
    async [Symbol.asyncDispose]() {
      guardian.ref();
      guardian.stdin.end("release\n");
      await gone;
    },
  };
}

function untilGone(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => {
      resolve();
    });
    child.once("error", () => {
      resolve();
    });
  });
}
