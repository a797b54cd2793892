// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { systemCode } from "../../../lib/errors.ts";

const timeoutMs = 500;

/** What becomes of a connection within this machine, which is closed at once. */
export function tryLocalConnection(host: string, port: number): Promise<"accepted" | "refused" | "unknown"> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (result: "accepted" | "refused" | "unknown"): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => {
      end("accepted");
    });
    socket.once("timeout", () => {
      end("unknown");
    });
    socket.once("error", (error) => {
      end(systemCode(error) === "ECONNREFUSED" ? "refused" : "unknown");
    });
  });
}

export async function accepts(host: string, port: number): Promise<boolean> {
  return (await tryLocalConnection(host, port)) === "accepted";
}
