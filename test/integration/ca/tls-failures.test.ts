// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { describe, expect, test } from "vitest";
import { CaError, createCaClient, type SingleCaConfig } from "../../../src/ca/index.ts";
import { issueRoot } from "../../../src/ca/embedded/certificates.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { requestHttp } from "../../../src/lib/net/http-client.ts";
import type { TlsClientConfig } from "../../../src/lib/net/tls-client.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { signingRequest, unchecked } from "../../support/signing.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, type TestAuthority } from "../../support/test-authority.ts";
import { testLog } from "../../support/test-log.ts";
import { startProxy } from "../../support/xds-proxy-pair.ts";

const minuteMs = 60_000;
const nowMs = Date.now();
const trusted = testAuthority("mesh root", nowMs);
const stranger = testAuthority("stranger root", nowMs);
const impostor = testAuthority("mesh root", nowMs);

interface RunningServer extends AsyncDisposable {
  readonly port: number;
}

async function listen(server: Server): Promise<RunningServer> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    sockets.add(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A server with this certificate; nothing that it could say matters, because TLS fails first. */
function tlsServer(authority: TestAuthority, facts: { notBeforeMs?: number; notAfterMs?: number } = {}): Server {
  const key = newKey();
  const server = {
    subject: "ca server",
    use: "server",
    uris: [],
    dnsNames: ["ca.example"],
    ips: ["127.0.0.1"],
  } as const;
  const cert = authority.issue({ publicKey: publicKeyOf(key), ...server, ...facts }, nowMs);
  const tls = createTlsServer({ key: key.export({ type: "pkcs8", format: "pem" }), cert, ALPNProtocols: ["h2"] });
  tls.on("tlsClientError", () => undefined);
  return tls;
}

/** Clients of every protocol that uses TLS. Each resolves with the error of one call. */
const clients: Readonly<Record<string, (port: number, security: TlsClientConfig) => Promise<CaError>>> = {
  "gRPC, Istio's CA": (port, security) =>
    caErrorOf({
      kind: "istio",
      host: "127.0.0.1",
      port,
      security: { kind: "tls", ...security },
      tokenPath: undefined,
      cloudToken: undefined,
      clusterId: "",
      certSigner: "",
      headers: {},
      timeoutPerTryMs: 1_000,
      keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    }),
  "HTTP, Vault": (port, security) =>
    caErrorOf({
      kind: "vault",
      server: { host: "127.0.0.1", port, security: { kind: "tls", ...security } },
      namespace: "",
      signPath: "pki/sign/mesh",
      auth: { kind: "token-file", path: "" },
      timeoutPerTryMs: 1_000,
    }),
};

async function caErrorOf(given: SingleCaConfig): Promise<CaError> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "token");
  await writeFile(path, "a-token");
  const config = given.kind === "vault" ? ({ ...given, auth: { kind: "token-file", path } } as const) : given;
  await using client = createCaClient(config, { log: testLog().log, clock: systemClock, budgets: testBudgets() });
  const error: unknown = await client.sign(signingRequest("csr"), unchecked, new AbortController().signal).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CaError)) throw new Error("expected a CaError", { cause: error });
  return error;
}

interface Case {
  readonly server: () => Server;
  readonly rootPem?: string;
  readonly serverName?: string;
  readonly failure: CaError["failure"];
  /** What the message must say; ROOT is the path of the roots. */
  readonly says: readonly string[];
}

const certificateNames = ['subject "O=ca server"', 'issuer "O=mesh root"'];
const cases: Readonly<Record<string, Case>> = {
  "an untrusted root": {
    server: () => tlsServer(stranger),
    failure: "tls-untrusted-root",
    says: ['subject "O=ca server", issuer "O=stranger root"', 'no root in ROOT, which has "O=mesh root"'],
  },
  "a root of the same name with another key": {
    server: () => tlsServer(impostor),
    failure: "tls-untrusted-root",
    says: [...certificateNames, "the root of that name in ROOT: the server's CA has another key"],
  },
  "a wrong name": {
    server: () => tlsServer(trusted),
    serverName: "istiod.istio-system.svc",
    failure: "tls-wrong-name",
    says: [...certificateNames, "is for DNS:ca.example, IP Address:127.0.0.1, not for istiod.istio-system.svc"],
  },
  "an expired server certificate": {
    server: () => tlsServer(trusted, { notBeforeMs: nowMs - 9 * minuteMs, notAfterMs: nowMs - minuteMs }),
    failure: "tls-expired",
    says: [
      ...certificateNames,
      "the server's certificate",
      "expired at 20",
      "ago by this machine's clock",
      "set the clock",
    ],
  },
  "a server certificate that begins later": {
    server: () => tlsServer(trusted, { notBeforeMs: nowMs + 9 * minuteMs }),
    failure: "tls-not-yet-valid",
    says: [...certificateNames, "begins at 20"],
  },
  "an expired root in the file": {
    server: () => tlsServer(trusted),
    rootPem: issueRoot(trusted.issuer, nowMs - 9 * minuteMs, nowMs - minuteMs),
    failure: "tls-expired",
    says: ["the root in ROOT (", "expired at 20", "replace it there"],
  },
  "a hanging handshake": {
    server: () => createTcpServer((socket) => socket.resume()),
    failure: "tls-handshake-timeout",
    says: ["accepts connections, but did not finish the TLS handshake within "],
  },
  "a plaintext server": {
    server: () =>
      createTcpServer((socket) => {
        socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      }),
    failure: "tls-handshake-failed",
    says: ["does not speak TLS; is this a plaintext port?"],
  },
};

async function withRoots<T>(
  { rootPem = trusted.rootPem, serverName = "ca.example" }: Partial<Case>,
  use: (security: TlsClientConfig) => Promise<T>,
): Promise<T> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "root-cert.pem");
  await writeFile(path, rootPem);
  return await use({ serverName, roots: { kind: "file", path }, client: undefined, policy: "default" });
}

function assertSays(message: string, given: Case, path: string): void {
  for (const text of given.says) expect(message).toContain(text.replace("ROOT", path));
  expect(message).not.toMatch(/node|--use-|openssl|unreachable|\n/i);
}

function pathOf({ roots }: TlsClientConfig): string {
  return roots.kind === "file" ? roots.path : "";
}

describe.concurrent("A8: failures of TLS are told apart, and name file, subject and issuer", () => {
  const all = Object.keys(clients).flatMap((client) => Object.keys(cases).map((name) => [client, name] as const));
  test.each(all)(
    "A8: %s: %s",
    async (client, name) => {
      const [call, given] = [clients[client], cases[name]];
      if (call === undefined || given === undefined) throw new Error("no such case");
      await using server = await listen(given.server());
      await withRoots(given, async (security) => {
        const error = await call(server.port, security);
        expect(error.failure).toBe(given.failure);
        assertSays(error.message, given, pathOf(security));
      });
    },
    15_000,
  );

  test.each(Object.entries(cases))(
    "A8: the control plane: %s",
    async (_name, given) => {
      await using server = await listen(given.server());
      await withRoots(given, async (security) => {
        const upstream = { security: { kind: "tls", ...security }, connectTimeoutMs: 800 } as const;
        await using proxy = await startProxy([server.port], { upstream });
        const client = await proxy.open("delta");
        await client.send({ typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" });
        const record = await eventually(
          () => {
            const found = proxy.records.find(({ message }) => message.startsWith("TLS with the control plane failed"));
            if (found === undefined) throw new Error(JSON.stringify(proxy.records));
            return found;
          },
          { withinMs: 5_000 },
        );
        expect(`tls-${String(record.fields["failure"])}`).toBe(given.failure);
        assertSays(String(record.fields["reason"]), given, pathOf(security));
      });
    },
    15_000,
  );

  test("A8: a client that uses the system's roots says so, without advice about the runtime", async () => {
    await using server = await listen(tlsServer(stranger));
    const url = new URL(`https://127.0.0.1:${String(server.port)}/module.wasm`);
    const call = requestHttp({ url, connection: () => ({ tls: {} }) });
    await expect(call).rejects.toMatchObject({ failure: "tls", cause: { failure: "untrusted-root" } });
    await expect(call).rejects.toThrow(/issuer "O=stranger root"\) leads to none of the system's roots/);
    await expect(call).rejects.not.toThrow(/node/i);
  });
});
