// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { systemCode } from "../lib/errors.ts";
import type { SignalSource } from "./signals.ts";

export interface ChildOrder {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the child. */
  readonly env: Readonly<Record<string, string>>;
  /** Source of the signals that are forwarded. */
  readonly signals: SignalSource;
  /** Whether a terminal sends SIGINT and SIGQUIT to the child itself. */
  readonly onTerminal: boolean;
  /** Aborts at SIGTERM or SIGINT. If it has aborted before the child runs, the child gets SIGTERM. */
  readonly stop: AbortSignal;
}

/** Signals that programs commonly handle; all are forwarded. */
const forwarded = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT"] as const;
const fromTerminal: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGQUIT", "SIGWINCH"]);

/** How a child exited, as a shell reports it. */
export interface ChildEnd {
  /** 127 when the command does not exist, 126 when it cannot be executed, 128 + signal when a signal ended it. */
  readonly code: number;
  /** Why it could not be started; undefined when it ran. */
  readonly failure: unknown;
}

/**
 * Runs a program on this process's own standard streams, forwards signals to it, and waits for its end. It stays in this
 * process's group: a terminal's Ctrl-C and Ctrl-Z must reach it, and it must be allowed to read the terminal. What it leaves
 * behind is its own decision, as without `attache exec`; in a container it ends with process 1.
 */
export async function runChild(order: ChildOrder): Promise<ChildEnd> {
  const { execa } = await import("execa");
  const child = execa(order.command, order.args, {
    stdio: "inherit",
    env: order.env,
    extendEnv: false,
    reject: false,
    // The child decides when it exits: no SIGKILL after a forwarded SIGTERM, no signal when this process exits.
    forceKillAfterDelay: false,
    cleanup: false,
  });
  for (const signal of forwarded) {
    order.signals.on(signal, () => {
      if (!order.onTerminal || !fromTerminal.has(signal)) child.kill(signal);
    });
  }
  if (order.stop.aborted) child.kill("SIGTERM");
  const { exitCode, signal, cause } = await child;
  if (signal !== undefined) return { code: 128 + constants.signals[signal], failure: undefined };
  if (exitCode !== undefined) return { code: exitCode, failure: undefined };
  return { code: systemCode(cause) === "ENOENT" ? 127 : 126, failure: cause };
}
