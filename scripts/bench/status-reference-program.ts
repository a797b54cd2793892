// SPDX-License-Identifier: Apache-2.0
// The reference of the status bench: the smallest servers of `node:http` that do the same. Sends its ports to the parent:
// one that responds at once, one that makes a request to the application for each of its own, and the application.
import { once } from "node:events";
import { createServer, request, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

async function listen(handler: RequestListener): Promise<number> {
  const server = createServer(handler).listen(0);
  await once(server, "listening");
  process.once("disconnect", () => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

const appPort = Number(process.argv[2]);
const emptyPort = await listen((_request, response) => response.end());
const proxyPort = await listen((_request, response) => {
  const headers = { connection: "close" };
  const target = { host: "127.0.0.1", port: appPort, localAddress: "127.0.0.6", path: "/", agent: false, headers };
  const outgoing = request(target, (message) => {
    const chunks: Buffer[] = [];
    message.on("data", (chunk: Buffer) => chunks.push(chunk));
    message.on("end", () => {
      response.statusCode = message.statusCode ?? 500;
      response.end(Buffer.concat(chunks));
    });
  });
  outgoing.on("error", () => {
    response.statusCode = 500;
    response.end();
  });
  outgoing.end();
});
process.send?.([emptyPort, proxyPort]);
