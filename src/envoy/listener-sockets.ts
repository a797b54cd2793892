// SPDX-License-Identifier: Apache-2.0
import { readListeningSockets } from "../lib/net/socket-table.ts";
import type { ListenerStatus } from "../model/envoy-readiness.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import { EnvoyAdminError } from "./envoy-errors.ts";

interface Listener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/**
 * Finds listeners that Envoy lost. Envoy's stats do not show them: a listener that a drain has stopped still counts as
 * active while the server stays LIVE, and after a hot restart the count of stopped listeners is that of the old Envoy.
 * So Envoy's listeners are compared with the sockets of the machine. A listener that the control plane removed is not
 * lost, unless it was the last.
 * Source: observed with Envoy 1.40
 */
export class ListenerSockets {
  readonly #admin: Pick<EnvoyAdmin, "request">;
  readonly #ownPorts: readonly number[];
  readonly #sockets: typeof readListeningSockets;
  #seenOpen: ReadonlySet<string> = new Set();
  #hadOthers = false;

  /** @param ownPorts of the bootstrap's own listeners, such as readiness and metrics */
  constructor(
    admin: Pick<EnvoyAdmin, "request">,
    ownPorts: readonly number[],
    sockets: typeof readListeningSockets = readListeningSockets,
  ) {
    this.#admin = admin;
    this.#ownPorts = ownPorts;
    this.#sockets = sockets;
  }

  /**
   * @returns undefined where it cannot be known
   * @throws EnvoyAdminError while the admin interface does not respond
   */
  async read(signal: AbortSignal): Promise<ListenerStatus | undefined> {
    // sockets first: a listener that is removed in between must not look closed
    const sockets = await this.#sockets();
    const listeners = await this.#listeners(signal);
    if (sockets === undefined || listeners === undefined) return undefined;
    const ports = new Set(sockets.map(({ port }) => port));
    const openNow = listeners.filter(({ port }) => ports.has(port));
    const closed = listeners.filter((listener) => !ports.has(listener.port) && this.#seenOpen.has(describe(listener)));
    this.#seenOpen = new Set([...openNow, ...closed].map(describe));
    const others = listeners.filter(({ port }) => !this.#ownPorts.includes(port));
    if (others.length > 0) this.#hadOthers = true;
    return {
      open: openNow.length,
      closed: closed.map(describe),
      allRemoved: this.#hadOthers && others.length === 0,
    };
  }

  async #listeners(signal: AbortSignal): Promise<readonly Listener[] | undefined> {
    try {
      return parseListeners(await this.#admin.request("GET", "/listeners", {}, signal));
    } catch (error) {
      if (error instanceof EnvoyAdminError && error.failure === "status") return undefined;
      throw error;
    }
  }
}

/**
 * Parses Envoy's `/listeners`: `name::address:port`, one address per line. Listeners without a port, such as internal
 * ones and Unix sockets, are left out.
 */
export function parseListeners(text: string): readonly Listener[] {
  return text.split("\n").flatMap((line) => {
    const portAt = line.lastIndexOf(":") + 1;
    const host = line.slice(0, Math.max(0, portAt - 1));
    const addressAt = host.endsWith("]") ? host.lastIndexOf("[") : host.lastIndexOf(":") + 1;
    const isAddress =
      host.slice(0, Math.max(0, addressAt)).endsWith("::") && /^(\[[^\]]*\]|[^[\]]*)$/.test(host.slice(addressAt));
    const port = line.slice(portAt);
    if (!isAddress || !/^\d{1,5}$/.test(port)) return [];
    return [{ name: host.slice(0, addressAt - 2), address: line.slice(addressAt), port: Number(port) }];
  });
}

function describe({ name, address }: Listener): string {
  return `${name} (${address})`;
}
