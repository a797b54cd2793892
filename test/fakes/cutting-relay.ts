// SPDX-License-Identifier: Apache-2.0
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** Passes TCP on, until so many bytes of answers have passed that it was told to cut at. */
export class CuttingRelay implements AsyncDisposable {
  port = 0;
  /** Of answers, counted from now on; then every connection is cut, once. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#pass(socket);
  });
  #targetPort = 0;

  async listen(targetPort: number): Promise<void> {
    this.#targetPort = targetPort;
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: Socket): void {
    const server = connect(this.#targetPort, "127.0.0.1");
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.once("error", () => socket.destroy());
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (bytes) => server.write(bytes));
    server.on("data", (bytes: Buffer) => {
      client.write(bytes.subarray(0, this.cutAfterBytes));
      this.cutAfterBytes -= bytes.length;
      if (this.cutAfterBytes > 0) return;
      this.cutAfterBytes = Number.POSITIVE_INFINITY;
      client.end();
      server.destroy();
    });
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

export async function startCuttingRelay(targetPort: number): Promise<CuttingRelay> {
  const relay = new CuttingRelay();
  await relay.listen(targetPort);
  return relay;
}
