// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";

/**
 * What responses may hold in memory. Those that clients have not read are counted; when there are too many, the connection
 * with the most is closed. Until a client has read its response, none of its further requests is handled.
 */
export class ResponseLimits {
  readonly #budgets: Budgets;
  /** Responses that are complete and not read. */
  readonly #unread = new Map<ServerResponse, Budget>();

  constructor(budgets: Budgets) {
    this.#budgets = budgets;
  }

  /** Counts a response until it is read. @param bytes that are held; as a default, those that the system has not taken */
  count(response: ServerResponse, bytes = response.socket?.writableLength ?? 0): void {
    if (bytes === 0 || response.destroyed) return;
    const share = this.#budgets.of("status-unread-bytes-of-connection").child();
    this.#unread.set(response, share);
    response.once("close", () => {
      this.#unread.delete(response);
      share[Symbol.dispose]();
    });
    share.charge(bytes);
    const { used, size } = this.#budgets.of("status-unread-bytes");
    if (used > size) this.#closeMost();
  }

  /** Allows to compress a response, until it is sent. */
  admitsEncoder(response: ServerResponse): boolean {
    const place = this.#budgets.of("status-encoders").take();
    response.once("close", () => {
      place?.[Symbol.dispose]();
    });
    return place !== undefined;
  }

  /** A single response is sent whatever its size: what makes it has a limit of its own. */
  #closeMost(): void {
    if (this.#unread.size < 2) return;
    const [most] = [...this.#unread].toSorted(([, a], [, b]) => b.used - a.used);
    most?.[0].destroy();
  }
}
