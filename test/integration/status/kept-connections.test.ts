// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { createSecureServer, type ServerHttp2Session } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { listening } from "../../support/listening.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { type StatusFixture, startStatus } from "./status-fixture.ts";

const live = "/app-health/app/livez";

async function certificate(): Promise<{ readonly cert: string; readonly key: string }> {
  await using directory = await temporaryDirectory();
  const { chainPem, keyPem } = await (await createOpensslPki(directory.path)).issue("spiffe://cluster.local/ns/a/sa/b");
  return { cert: chainPem, key: keyPem };
}

function keepingStatus(scheme: "http" | "https", port: number): Promise<StatusFixture> {
  const handler = { kind: "http", scheme, path: "/", port } as const;
  return startStatus({ probeKeepalive: true, appProbes: { [live]: { handler, timeoutMs: 500 } } });
}

async function probe(status: StatusFixture): Promise<number> {
  const made = await fetch(status.url(live));
  await made.arrayBuffer();
  return made.status;
}

/** Answers the first request of each connection, and closes it at the second. */
function onceEach() {
  const seen = new WeakSet<Socket>();
  return ({ socket }: { readonly socket: Socket }, response: { end(): unknown }): void => {
    if (seen.has(socket)) {
      socket.destroy();
      return;
    }
    seen.add(socket);
    response.end();
  };
}

test.each(["http", "https"] as const)(
  "over %s a kept connection that the application has closed fails no probe",
  async (scheme) => {
    const server = scheme === "http" ? createServer(onceEach()) : createTlsServer(await certificate(), onceEach());
    await using bound = await listening(server);
    await using status = await keepingStatus(scheme, bound.port);
    for (let time = 0; time < 4; time++) expect(await probe(status)).toBe(200);
  },
);

test("over HTTP/2 a connection that is given up or cut off fails no probe, one that is dead fails one", async () => {
  const sessions: ServerHttp2Session[] = [];
  let answers = true;
  const server = createSecureServer(await certificate(), (_request, response) => {
    if (answers) response.end();
  });
  server.on("session", (session) => sessions.push(session));
  await using bound = await listening(server);
  await using status = await keepingStatus("https", bound.port);
  expect([await probe(status), await probe(status), sessions.length]).toEqual([200, 200, 1]);
  sessions[0]?.goaway();
  expect(await probe(status)).toBe(200);
  sessions.at(-1)?.destroy();
  expect(await probe(status)).toBe(200);
  answers = false;
  expect(await probe(status)).toBe(500);
  answers = true;
  const before = sessions.length;
  expect([await probe(status), sessions.length]).toEqual([200, before + 1]);
});

test("an application that closes every connection fails its probe, and is not asked for ever", async () => {
  let connections = 0;
  const server = createServer((request) => request.socket.destroy());
  server.on("connection", () => connections++);
  await using bound = await listening(server);
  await using status = await keepingStatus("http", bound.port);
  expect([await probe(status), connections]).toEqual([500, 1]);
});
