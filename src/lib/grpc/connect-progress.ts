// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { type Dial, dialTcp } from "./dial.ts";

/** How far a connection to a peer that does not respond has come. */
export class ConnectProgress {
  readonly #dial: Dial;
  #socket: Socket | undefined;

  /** @param dial how TCP is connected; default directly */
  constructor(dial: Dial = dialTcp) {
    this.#dial = dial;
  }

  /** To be used as the dial of a target. */
  readonly dial: Dial = async (host, port, signal) => {
    this.#socket = undefined;
    const socket = await this.#dial(host, port, signal);
    this.#socket = socket;
    return socket;
  };

  /** What the peer does not do, and what that most likely means: `accepts connections, but does not respond; …`. */
  text(): string {
    if (this.#socket === undefined)
      return "does not accept the connection; check that no firewall or network policy drops it";
    if (this.#socket.bytesRead === 0)
      return "accepts connections, but sends nothing; check its port, and whether it hangs";
    return "is connected, but does not respond; check whether it is overloaded";
  }
}
