// SPDX-License-Identifier: Apache-2.0
import type { CommandContext } from "./command.ts";

/** Why the process stops. Readiness shows the message during the shutdown. */
export class StopRequest extends Error {
  override readonly name = "StopRequest";
  readonly signal: NodeJS.Signals;
  constructor(signal: NodeJS.Signals) {
    super(`received ${signal}`);
    this.signal = signal;
  }
}

/** The source of signals and uncaught faults: the process, or a fake. */
export interface SignalSource {
  on(event: NodeJS.Signals | "uncaughtException" | "unhandledRejection", listener: (what: unknown) => void): unknown;
}

export type ProcessSignals = Pick<
  CommandContext,
  "stop" | "force" | "fault" | "onFault" | "onHangup" | "onReopenLogs" | "onRenew"
>;

/**
 * Turns signals and uncaught faults into aborts, from the first instruction on: the kernel's default action does not
 * apply to process 1. The first SIGTERM, SIGINT or SIGQUIT requests a shutdown, the second one forces the exit. A fault
 * requests a shutdown, in which Envoy drains; however many follow, a fault never forces the exit.
 */
export function listenSignals(source: SignalSource): ProcessSignals {
  const stop = new AbortController();
  const force = new AbortController();
  let stopSignals = 0;
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    source.on(signal, () => {
      stopSignals++;
      const request = new StopRequest(signal);
      stop.abort(request);
      if (stopSignals > 1) force.abort(request);
    });
  }
  // its default action would end the process, and pilot-agent ignores it
  source.on("SIGALRM", () => undefined);
  const onRenew = listenerOf(source, "SIGUSR2");
  const onHangup = listenerOf(source, "SIGHUP");
  // a rotation of the log files during the start must not be lost
  let reopenRequested = false;
  let reopenLogs = (): void => {
    reopenRequested = true;
  };
  source.on("SIGUSR1", () => {
    reopenLogs();
  });
  const faults: Error[] = [];
  let report: ((fault: Error) => void) | undefined;
  const onFault = (what: unknown): void => {
    const fault = what instanceof Error ? what : new Error(`uncaught: ${String(what)}`);
    faults.push(fault);
    report?.(fault);
    stop.abort(fault);
  };
  source.on("uncaughtException", onFault);
  source.on("unhandledRejection", onFault);
  return {
    stop: stop.signal,
    force: force.signal,
    fault: () => faults[0],
    onFault: (listener) => {
      if (report === undefined) faults.forEach(listener);
      report = listener;
    },
    onHangup,
    onRenew,
    onReopenLogs: (listener) => {
      reopenLogs = listener;
      if (reopenRequested) listener();
      reopenRequested = false;
    },
  };
}

/** Sets what a signal calls, which is nothing at first. */
function listenerOf(source: SignalSource, signal: NodeJS.Signals): (listener: () => void) => void {
  let current = (): void => undefined;
  source.on(signal, () => {
    current();
  });
  return (listener) => {
    current = listener;
  };
}
