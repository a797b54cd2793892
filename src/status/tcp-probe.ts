// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import type { ProbeOutcome } from "./probe-outcome.ts";
import { failedProbe, type ProbeAddress } from "./probe-address.ts";

/** Connects and closes again, no byte is sent. */
export function probeTcp(address: ProbeAddress, port: number, signal: AbortSignal): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, port });
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
