// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import type { Logger } from "../../lib/log/log.ts";

/** An Envoy that takes longer to read an answer is stuck, or starved. Source: the limit of Istio's agent */
const slowAfterMs = 10_000;

/** Says so in the log, once, when an answer is not taken in time; disposed when it has been taken. Nothing is ended. */
export function watchSend(
  { typeUrl, length }: { readonly typeUrl: string; readonly length: number },
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  const taken = new AbortController();
  clock.delay(slowAfterMs, taken.signal).then(
    () => {
      log.warn("Envoy is slow to take an answer of the control plane", { typeUrl, length, waitedMs: slowAfterMs });
    },
    () => undefined,
  );
  return {
    [Symbol.dispose]: () => {
      taken.abort();
    },
  };
}
