// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const wasmModule = Buffer.concat([Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), Buffer.from("a module")]);

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** An HTTP server for modules, and a registry for images, on one port of loopback. */
export class FakeModuleServer implements AsyncDisposable {
  /** Paths asked for, in order. */
  readonly asked: string[] = [];
  /** By path. */
  readonly files = new Map<string, Buffer>();
  /** Statuses of the next answers; when there are none left, files are served. */
  readonly statuses: number[] = [];
  /** Path to redirect to, by path. */
  readonly redirects = new Map<string, string>();
  /** As in `authorization: Basic`; asked for by the registry when it is set. */
  login: string | undefined;
  /** What `proxy-authorization` was, of requests that came with it. */
  readonly proxyLogins: string[] = [];
  port = 0;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response);
  });

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.port = (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${String(this.port)}${path}`;
  }

  /** Puts an image into the registry. @returns its digest */
  addImage(
    repository: string,
    tag: string,
    layers: readonly { readonly mediaType: string; readonly blob: Buffer }[],
  ): string {
    const described = layers.map(({ mediaType, blob }) => {
      this.files.set(`/v2/${repository}/blobs/sha256:${sha256Of(blob)}`, blob);
      return { mediaType, digest: `sha256:${sha256Of(blob)}`, size: blob.length };
    });
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: described }));
    const digest = sha256Of(manifest);
    for (const reference of [tag, `sha256:${digest}`])
      this.files.set(`/v2/${repository}/manifests/${reference}`, manifest);
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    this.asked.push(path);
    const proxyLogin = request.headers["proxy-authorization"];
    if (proxyLogin !== undefined) this.proxyLogins.push(proxyLogin);
    const status = this.statuses.shift();
    const location = this.redirects.get(path);
    const file = this.files.get(path);
    const isDenied = this.login !== undefined && request.headers.authorization !== `Basic ${this.login}`;
    if (status !== undefined) response.writeHead(status).end();
    else if (location !== undefined) response.writeHead(302, { location }).end();
    else if (isDenied) response.writeHead(401, { "www-authenticate": 'Basic realm="https://r.example"' }).end();
    else if (file === undefined) response.writeHead(404).end();
    else response.end(file);
  }
}

export async function startFakeModuleServer(): Promise<FakeModuleServer> {
  const server = new FakeModuleServer();
  await server.listen();
  return server;
}
