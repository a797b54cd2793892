// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Ports that were free a moment ago, for what must know its port before it listens. All are held until the last is
 * found, so that they differ.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  try {
    await Promise.all(servers.map((server) => once(server, "listening")));
    return servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("the server has no port");
      return address.port;
    });
  } finally {
    for (const server of servers) server.close();
  }
}
