// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { ownGroup } from "../lib/process-group.ts";

/**
 * Kills Envoy when the agent exits, even if the agent is killed: the kernel's parent-death signal, which
 * `setpriv` sets before it executes Envoy; else a shell that waits until the agent is gone.
 */
export type ParentDeathWatchdog =
  | { readonly kind: "setpriv"; readonly path: string }
  | { readonly kind: "shell"; readonly path: string }
  | { readonly kind: "none" };

/** The usual paths. They are checked without running anything. */
export const watchdogPaths = {
  setpriv: ["/usr/bin/setpriv", "/bin/setpriv", "/usr/local/bin/setpriv"],
  shell: ["/bin/sh", "/usr/bin/sh"],
} as const;

/**
 * The best watchdog of this system. A `setpriv` without `--pdeathsig` (util-linux before 2.33, BusyBox) would reject the
 * option and never execute Envoy, so the option's name is searched in the program.
 */
export function findWatchdog(
  paths: { readonly setpriv: readonly string[]; readonly shell: readonly string[] } = watchdogPaths,
): ParentDeathWatchdog {
  const setpriv = paths.setpriv.find((path) => isExecutable(path) && readFileSync(path).includes("pdeathsig"));
  if (setpriv !== undefined) return { kind: "setpriv", path: setpriv };
  const shell = paths.shell.find(isExecutable);
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

/** A line on standard input releases the shell. Its end without a line means that the agent is gone. */
const script = `trap '' HUP INT QUIT TERM
read -r word
[ -n "$word" ] || kill -s KILL -- "-$1" 2>/dev/null || kill -9 "$1" 2>/dev/null`;

export interface WatchdogShell extends AsyncDisposable {
  readonly pid: number | undefined;
}

/**
 * Starts a shell that kills the group that process `pid` leads when this process is gone. It has a group of its own, so
 * that who kills the agent's group does not kill it too. Only this process holds the other end of the
 * shell's input, so the system closes it, however this process ends. Disposing the shell does not kill `pid`.
 */
export function startWatchdogShell(shellPath: string, pid: number): WatchdogShell {
  const shell = spawn(shellPath, ["-c", script, "attache-watchdog", String(pid)], {
    ...ownGroup,
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
  });
  const exited = untilExited(shell);
  shell.stdin.on("error", () => undefined);
  shell.unref();
  return {
    pid: shell.pid,
    async [Symbol.asyncDispose]() {
      shell.ref();
      shell.stdin.end("release\n");
      await exited;
    },
  };
}

function untilExited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => {
      resolve();
    });
    child.once("error", () => {
      resolve();
    });
  });
}
