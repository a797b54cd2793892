// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { systemCode } from "../lib/errors.ts";
import type { SignalSource } from "./signals.ts";

export interface ChildOrder {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where the signals to forward come from. */
  readonly signals: SignalSource;
  /** Whether a terminal gives SIGINT and SIGQUIT to the child by itself. */
  readonly onTerminal: boolean;
  /** Aborts at SIGTERM or SIGINT; one that came before the child is passed on to it as SIGTERM. */
  readonly stop: AbortSignal;
}

/** Signals that mean something to most programs; all are passed on. */
const forwarded = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT"] as const;
const fromTerminal: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGQUIT", "SIGWINCH"]);

/** How a child ended, in the terms of a shell. */
export interface ChildEnd {
  /** 127 when the command is not there, 126 when it cannot be executed, 128 + signal when a signal ended it. */
  readonly code: number;
  /** Why it could not be started; undefined when it ran. */
  readonly failure: unknown;
}

/** Runs a program on this process's own standard streams, passes signals on to it, and waits for its end. */
export async function runChild(order: ChildOrder): Promise<ChildEnd> {
  const child = spawn(order.command, order.args, { stdio: "inherit", env: order.env });
  for (const signal of forwarded) {
    order.signals.on(signal, () => {
      if (!order.onTerminal || !fromTerminal.has(signal)) child.kill(signal);
    });
  }
  if (order.stop.aborted) child.kill("SIGTERM");
  return await untilEnd(child);
}

function untilEnd(child: ChildProcess): Promise<ChildEnd> {
  return new Promise((resolve) => {
    child.once("error", (failure) => {
      if (child.pid === undefined) resolve({ code: systemCode(failure) === "ENOENT" ? 127 : 126, failure });
    });
    child.once("exit", (code, signal) => {
      resolve({ code: signal === null ? (code ?? 0) : 128 + constants.signals[signal], failure: undefined });
    });
  });
}
