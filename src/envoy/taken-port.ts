// SPDX-License-Identifier: Apache-2.0
import { systemCode } from "../lib/errors.ts";

/** The first of the ports that somebody listens on, on any address; undefined when all are free. */
export async function findTakenPort(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    if (port > 0 && (await isTaken(port))) return port;
  }
  return undefined;
}

async function isTaken(port: number): Promise<boolean> {
  const { createServer } = await import("node:net");
  return await new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error) => {
      resolve(systemCode(error) === "EADDRINUSE");
    });
    probe.listen(port, "0.0.0.0", () => {
      probe.close(() => {
        resolve(false);
      });
    });
  });
}
