// SPDX-License-Identifier: Apache-2.0
import { constants, createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:https";
import { createServer as createTcpServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { listening } from "../../support/listening.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { startStatus } from "./status-fixture.ts";

const live = "/app-health/app/livez";

/** Where the application is and what a probe of it comes from; ::6 is on loopback only where traffic is captured. */
const families = [
  { family: "IPv4", at: { appHost: "127.0.0.1", probeSourceAddress: "127.0.0.6" }, urlHost: "127.0.0.1" },
  { family: "IPv6", at: { appHost: "::1", probeSourceAddress: "::1" }, urlHost: "[::1]" },
] as const;

async function certificate(): Promise<{ readonly cert: string; readonly key: string }> {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/demo/sa/app");
  return { cert: chainPem, key: keyPem };
}

async function probe(port: number, config = {}): Promise<{ readonly status: number; readonly body: string }> {
  const handler = { kind: "http", scheme: "https", path: "/ok?x=1", port } as const;
  await using status = await startStatus({ appProbes: { [live]: { handler, timeoutMs: 2_000 } }, ...config });
  const made = await fetch(status.url(live), { headers: { "User-Agent": "kube-probe/1.34" } });
  return { status: made.status, body: await made.text() };
}

test.each(families)(
  "P17 over $family, without ALPN and with http/1.1, the probe speaks HTTP/1.1, and no certificate is verified",
  async ({ at }) => {
    const tls = await certificate();
    for (const ALPNProtocols of [undefined, ["http/1.1"]]) {
      const alpn = ALPNProtocols === undefined ? {} : { ALPNProtocols };
      const server = createServer({ ...tls, ...alpn }, (request, response) => {
        response.end(`${request.httpVersion} ${request.url ?? ""} ${request.headers["user-agent"] ?? ""}`);
      });
      await using bound = await listening(server, at.appHost);
      const { port } = bound;
      expect(await probe(port, at)).toEqual({ status: 200, body: "1.1 /ok?x=1 kube-probe/1.34" });
    }
  },
);

const kept = families.flatMap((family) => [true, false].map((keep) => ({ ...family, keep })));

test.each(kept)(
  "P17 over $family, where the application offers h2, the probe speaks HTTP/2, keepalive $keep",
  async ({ at, keep }) => {
    const server = createSecureServer({ ...(await certificate()), allowHTTP1: true }, (request, response) => {
      response.end(`${request.httpVersion} ${request.url} ${request.headers["user-agent"] ?? ""}`);
    });
    let connections = 0;
    server.on("secureConnection", () => connections++);
    await using bound = await listening(server, at.appHost);
    const { port } = bound;
    const handler = { kind: "http", scheme: "https", path: "/ok?x=1", port } as const;
    await using status = await startStatus({
      ...at,
      probeKeepalive: keep,
      appProbes: { [live]: { handler, timeoutMs: 2_000 } },
    });
    for (let time = 0; time < 3; time++) {
      const made = await fetch(status.url(live), { headers: { "User-Agent": "kube-probe/1.34" } });
      expect([made.status, await made.text()]).toEqual([200, "2.0 /ok?x=1 kube-probe/1.34"]);
    }
    expect(connections).toBe(keep ? 1 : 3);
    expect(await probe(port, { ...at, probeHttp2: false })).toEqual({
      status: 200,
      body: "1.1 /ok?x=1 kube-probe/1.34",
    });
  },
);

test.each(families)(
  "P17 over $family a server that speaks another protocol only, or an old TLS, fails the probe",
  async ({ at }) => {
    const tls = await certificate();
    for (const options of [{ ALPNProtocols: ["foo"] }, { maxVersion: "TLSv1.1", minVersion: "TLSv1.1" } as const]) {
      const server = createTlsServer({ ...tls, ...options }, (socket) => socket.end());
      server.on("tlsClientError", () => undefined);
      await using bound = await listening(server, at.appHost);
      const { port } = bound;
      expect((await probe(port, at)).status).toBe(500);
    }
  },
);

test.each(families)(
  "P15 over $family a redirect to another port with TLS is followed without a look at the certificate",
  async ({ at, urlHost }) => {
    const server = createServer(await certificate(), (_request, response) => response.end("secured"));
    await using bound = await listening(server, at.appHost);
    const { port } = bound;
    await using app = await startFakeApp(
      answer(301, "", { Location: `https://${urlHost}:${String(port)}/` }),
      at.appHost,
    );
    const handler = { kind: "http", scheme: "http", path: "/", port: app.port } as const;
    await using status = await startStatus({ ...at, appProbes: { [live]: { handler, timeoutMs: 2_000 } } });
    const made = await fetch(status.url(live));
    expect([made.status, await made.text()]).toEqual([200, "secured"]);
  },
);

type Stream = ServerHttp2Stream;

const oddities: readonly (readonly [string, (stream: Stream) => void, number, RegExp | undefined])[] = [
  ["resets the stream at once", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), 500, /REFUSED_STREAM/],
  ["gives up the connection", (stream) => stream.session?.destroy(), 500, /closed the stream without a response/],
  [
    "does not end its answer",
    (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("half");
    },
    500,
    /no response within/,
  ],
  [
    "sends hints first",
    (stream) => {
      stream.additionalHeaders({ ":status": 103, link: "x" });
      stream.respond({ ":status": 201 }, { endStream: true });
    },
    201,
    undefined,
  ],
  [
    "sends very many headers",
    (stream) => {
      const many = Array.from({ length: 300 }, (_, number) => [`h${String(number)}`, "x".repeat(200)] as const);
      stream.respond({ ":status": 200, ...Object.fromEntries(many) }, { endStream: true });
    },
    200,
    undefined,
  ],
];

test.each(oddities)("over HTTP/2 an application that %s", async (_name, act, expected, reason) => {
  const server = createSecureServer(await certificate());
  server.on("stream", (stream: Stream) => {
    stream.on("error", () => undefined);
    act(stream);
  });
  await using bound = await listening(server);
  const handler = { kind: "http", scheme: "https", path: "/", port: bound.port } as const;
  await using status = await startStatus({ appProbes: { [live]: { handler, timeoutMs: 700 } } });
  const made = await fetch(status.url(live));
  expect(made.status).toBe(expected);
  if (reason !== undefined) expect(made.headers.get("x-attache-probe-reason")).toMatch(reason);
});

test("an application that speaks no TLS, or goes silent in the handshake, is told in words", async () => {
  const reasons: (string | null)[] = [];
  for (const answered of ["HTTP/1.1 400 Bad Request\r\n\r\n", ""]) {
    await using bound = await listening(
      createTcpServer((socket) => socket.on("error", () => undefined).write(answered)),
    );
    const handler = { kind: "http", scheme: "https", path: "/", port: bound.port } as const;
    await using status = await startStatus({ appProbes: { [live]: { handler, timeoutMs: 500 } } });
    reasons.push((await fetch(status.url(live))).headers.get("x-attache-probe-reason"));
  }
  expect(reasons).toEqual(["TLS: wrong version number", "no response within the probe's timeout"]);
});
