// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:net";

/**
 * Ports of loopback that nobody listens on. All are held open together before the first is released, so no two are
 * the same; between the release and the use another process may still take one, and then its user says so.
 */
export async function findFreePorts(count: number): Promise<readonly number[]> {
  const holders = await Promise.all(Array.from({ length: count }, () => holdPort()));
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.server.close(resolve))));
  return holders.map((holder) => holder.port);
}

function holdPort(): Promise<{ readonly server: Server; readonly port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("a TCP server without a port"));
      else resolve({ server, port: address.port });
    });
  });
}
