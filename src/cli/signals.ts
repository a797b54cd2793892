// SPDX-License-Identifier: Apache-2.0
import type { CommandContext } from "./command.ts";

/** Why the process is asked to stop; its text is what readiness shows while it ends. */
export class StopRequest extends Error {
  override readonly name = "StopRequest";
  readonly signal: NodeJS.Signals;
  constructor(signal: NodeJS.Signals) {
    super(`received ${signal}`);
    this.signal = signal;
  }
}

/** What tells of signals and of faults that nobody caught: the process, or a stand-in. */
export interface SignalSource {
  on(event: NodeJS.Signals | "uncaughtException" | "unhandledRejection", listener: (what: unknown) => void): unknown;
}

/**
 * Turns signals into aborts, from the first instruction on: process 1 has no default action for them.
 * The first SIGTERM, SIGINT or SIGQUIT asks to stop; the second forces the end. A fault that nobody caught asks to
 * stop as well, with that fault as the reason, so that Envoy is ended in order.
 */
export function listenSignals(source: SignalSource): Pick<CommandContext, "stop" | "force" | "fault" | "onHangup"> {
  const stop = new AbortController();
  const force = new AbortController();
  const ask = (reason: unknown): void => {
    if (stop.signal.aborted) force.abort(reason);
    else stop.abort(reason);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    source.on(signal, () => {
      ask(new StopRequest(signal));
    });
  }
  // their default would end the process, and pilot-agent does not mind them
  for (const signal of ["SIGUSR2", "SIGALRM"] as const) source.on(signal, () => undefined);
  let hangup = (): void => undefined;
  source.on("SIGHUP", () => {
    hangup();
  });
  source.on("uncaughtException", ask);
  source.on("unhandledRejection", ask);
  return {
    stop: stop.signal,
    force: force.signal,
    fault: (): unknown => (stop.signal.reason instanceof StopRequest ? undefined : stop.signal.reason),
    onHangup: (listener) => {
      hangup = listener;
    },
  };
}
