// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeMetadataServer extends AsyncDisposable {
  readonly port: number;
  /** Paths asked for, in order. */
  readonly asked: readonly string[];
}

/** Google's metadata server, as far as the identity token goes: undefined is a failure. */
export async function startFakeMetadataServer(token: () => string | undefined): Promise<FakeMetadataServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const text = token();
    const isRight = request.headers["metadata-flavor"] === "Google" && path.includes("/default/identity?");
    if (!isRight) response.writeHead(404).end();
    else if (text === undefined) response.writeHead(503).end();
    else response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
