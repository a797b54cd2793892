// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";

/** The reference of measurements: a process with Node's HTTP server and nothing else. Serves until its parent goes. */
const server = createServer((_request, response) => {
  response.end();
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.(typeof address === "object" && address !== null ? address.port : 0);
});
process.once("disconnect", () => {
  server.closeAllConnections();
  server.close();
});
