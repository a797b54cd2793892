// SPDX-License-Identifier: Apache-2.0
// The reference of the hostile bench: a server that has no other work than to respond. Sends its port to the parent.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const server = createServer((_request, response) => response.end("ok")).listen(0, "127.0.0.1");
await once(server, "listening");
process.send?.((server.address() as AddressInfo).port);
process.once("disconnect", () => {
  server.close();
  server.closeAllConnections();
});
