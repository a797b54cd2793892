// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import type { ConfigInput } from "../../../config/index.ts";
import { isAgent, readProcess } from "./processes.ts";
import { readSocketHolder } from "./unix-sockets.ts";

/**
 * The system's facts as an agent sees them that starts: without the sockets that an agent serves which runs already. To
 * the configuration, they would be those of another process.
 */
export async function withoutOwnSockets(system: ConfigInput["system"]): Promise<ConfigInput["system"]> {
  const served = await Promise.all(
    [...system.servedSockets].map(async (path) =>
      (await isServedByAgent(resolve(system.directory, path))) ? [] : [path],
    ),
  );
  return { ...system, servedSockets: new Set(served.flat()) };
}

async function isServedByAgent(path: string): Promise<boolean> {
  const holder = await readSocketHolder(path);
  const facts = holder === undefined ? undefined : await readProcess(holder.pid);
  return facts !== undefined && isAgent(facts);
}
