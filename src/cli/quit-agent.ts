// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";

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
    const status = await post(order.statusPort, limit.signal).catch(() => undefined);
    if (status !== undefined) return status === 200 ? { kind: "told" } : { kind: "refused", status };
    await clock.delay(tryAgainAfterMs, limit.signal).catch(() => undefined);
    if (limit.signal.aborted) return { kind: "no-agent" };
  }
}

/** Both families of loopback are tried. */
async function post(port: number, signal: AbortSignal): Promise<number> {
  const { request } = await import("node:http");
  return await new Promise((resolve, reject) => {
    const path = "/quitquitquit";
    const outgoing = request({ host: "localhost", port, method: "POST", path, agent: false, signal }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
