// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import { TLSSocket } from "node:tls";
import { issueCertificate } from "../../src/ca/embedded/certificates.ts";
import { newKey, publicKeyOf, type TestAuthority } from "../support/test-authority.ts";

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The parsed JSON body; undefined for none. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
  /** The client's certificate, when it presented one. */
  readonly client: X509Certificate | undefined;
}

export interface FakeResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpsServer extends AsyncDisposable {
  readonly host: "localhost";
  readonly port: number;
  /** Ends every connection whose client presents a certificate, before it is served. */
  rejectsClientCertificates: boolean;
  /** From now on verifies client certificates by these roots. */
  trustClients(rootPems: readonly string[]): void;
}

/** An HTTPS server whose certificate is under the given authority; client certificates are asked for, not demanded. */
export async function startHttpsServer(
  authority: TestAuthority,
  answer: (request: FakeRequest) => FakeResponse,
): Promise<HttpsServer> {
  const key = newKey();
  const cert = issueCertificate(authority.issuer, {
    subject: "fake server",
    publicKey: publicKeyOf(key),
    use: "server",
    dnsNames: ["localhost"],
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000,
  });
  const tls = {
    key: key.export({ type: "pkcs8", format: "pem" }),
    cert,
    ca: authority.rootPem,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(tls, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const { socket } = request;
      const { status, body, headers } = answer({
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: text === "" ? undefined : (JSON.parse(text) as Record<string, unknown>),
        client: socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined,
      });
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    });
  });
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (fake.rejectsClientCertificates && socket.getPeerX509Certificate() !== undefined) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const fake: HttpsServer = {
    host: "localhost",
    port: typeof address === "object" && address !== null ? address.port : 0,
    rejectsClientCertificates: false,
    trustClients(rootPems) {
      server.setSecureContext({ ...tls, ca: [...rootPems] });
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}
