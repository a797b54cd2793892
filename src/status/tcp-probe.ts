// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import type { ProbeOutcome, ProbeSettings } from "./probe-outcome.ts";
import { failedProbe, probeAddress } from "./probe-address.ts";

/** Connects and closes again, no byte is sent. */
export function probeTcp(settings: ProbeSettings, port: number, signal: AbortSignal): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ ...probeAddress(settings), port });
    const finish = (outcome: ProbeOutcome): void => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(outcome);
    };
    const onAbort = (): void => {
      finish(failedProbe(signal.reason, signal));
    };
    socket.once("connect", () => {
      finish({ kind: "passed" });
    });
    socket.on("error", (error) => {
      finish(failedProbe(error, signal));
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
