// SPDX-License-Identifier: Apache-2.0
// The application of the pod under attack: one port has metrics that are as bad as they can be, another never responds.
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { setPriority } from "node:os";

export interface HostileApplication {
  readonly bad: number;
  readonly hanging: number;
}

const floods: readonly string[] = [
  `# TYPE a gauge\n${"# TYPE a counter\n".repeat(200_000)}`,
  `# HELP a${" ".repeat(250_000)}x\rx\na 1\n`,
  Array.from({ length: 200_000 }, (_, number) => `# TYPE a${String(number)} gauge\n`).join(""),
];

async function listen(handle: RequestListener): Promise<number> {
  const server = createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

setPriority(10);
let scrape = 0;
const bad = await listen((_request, response) => response.end(floods[scrape++ % floods.length]));
const hanging = await listen(() => undefined);
process.send?.({ bad, hanging } satisfies HostileApplication);
