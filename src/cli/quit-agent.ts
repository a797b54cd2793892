// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { requestHttp } from "../lib/net/http-client.ts";

export interface QuitOrder {
  /** Of the agent's status server, on this machine's loopback. */
  readonly statusPort: number;
  /** For how long to look for an agent, which may still be starting. */
  readonly withinMs: number;
}

/** What became of the wish: the agent ends; it answered something else; or none was there. */
export type QuitOutcome =
  | { readonly kind: "told" }
  | { readonly kind: "refused"; readonly status: number }
  | { readonly kind: "no-agent" };

const tryAgainAfterMs = 100;

/** Tells the agent beside this container to end, and looks for it for a while if it is not there. */
export async function quitAgent(order: QuitOrder, clock: Clock): Promise<QuitOutcome> {
  using limit = deadline(clock, order.withinMs);
  for (;;) {
    const url = { host: "localhost", port: order.statusPort, path: "/quitquitquit" };
    const response = await requestHttp({ url, method: "POST" }, limit.signal).catch(() => undefined);
    const status = response?.status;
    if (status !== undefined) return status === 200 ? { kind: "told" } : { kind: "refused", status };
    await clock.delay(tryAgainAfterMs, limit.signal).catch(() => undefined);
    if (limit.signal.aborted) return { kind: "no-agent" };
  }
}
