// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startEnvoy } from "../../../src/envoy/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";
import { startStatus } from "./status-fixture.ts";

test("pages of a real Envoy's admin interface are passed on with their query, and nothing that changes it", async () => {
  await using directory = await temporaryDirectory();
  const [port = 0, listener = 0] = await freePorts(2);
  const envoy = await staticEnvoy(directory.path, {}, { admin: port, listener });
  await using _running = startEnvoy(envoy.config, { clock: systemClock, log: testLog().log, random: Math.random });
  const admin = await envoy.untilLive();
  await using status = await startStatus({}, { inspect: { envoyAdmin: () => ({ host: "127.0.0.1", port }) } });
  const page = (path: string): Promise<Response> => fetch(status.url(`/debug/envoy/${path}`));

  const query = "resource=static_listeners&name_regex=inbound";
  const dump = await page(`config_dump?${query}`);
  expect([dump.status, dump.headers.get("content-type")]).toEqual([200, "application/json"]);
  expect(await dump.text()).toBe(await admin.request("GET", `/config_dump?${query}`));
  expect((await page("config_dump?resource=bootstrap")).status).toBe(400);
  for (const path of ["certs", "clusters?format=json", "listeners", "memory", "server_info", "stats?format=json"]) {
    expect([path, (await page(path)).status]).toEqual([path, 200]);
  }
  expect(await (await page("logging")).text()).toContain("admin: ");
  expect((await page("logging?level=debug")).status).toBe(400);
  for (const path of [
    "quitquitquit",
    "",
    "config_dump/",
    "runtime_modify?a=b",
    "../quitquitquit",
    "stats/recentlookups",
  ]) {
    const { status: code } = await rawHttp(status.port, { target: `/debug/envoy/${path}` });
    expect([path, [307, 404].includes(code)]).toEqual([path, true]);
  }
  for (const method of ["POST", "PUT", "HEAD"]) {
    const { status: code } = await rawHttp(status.port, { method, target: "/debug/envoy/config_dump" });
    expect([method, code]).toEqual([method, 405]);
  }
  expect(await admin.request("POST", "/logging")).toContain("admin: error");
});

test("callers from elsewhere and a socket that is closed to other containers are refused", async () => {
  const inspect = { envoyAdmin: () => ({ socketPath: join("run", "admin.sock"), mode: 0o600 }) };
  await using status = await startStatus({}, { inspect });
  const refused = await fetch(status.url("/debug/envoy/config_dump"));
  expect([refused.status, await refused.text()]).toEqual([
    403,
    "Envoy's admin interface is on a Unix socket, which other containers cannot use; run 'attache config' in the agent's container\n",
  ]);
  const forwarded = await rawHttp(status.port, { target: "/debug/envoy/certs", headers: ["X-Forwarded-Proto: http"] });
  expect(forwarded.status).toBe(403);
});

test("without Envoy and while its admin interface is down, the page says so", async () => {
  await using without = await startStatus();
  expect((await fetch(without.url("/debug/envoy/stats"))).status).toBe(404);
  const [port = 0] = await freePorts(1);
  await using status = await startStatus({}, { inspect: { envoyAdmin: () => ({ host: "127.0.0.1", port }) } });
  const down = await fetch(status.url("/debug/envoy/stats"));
  expect([down.status, await down.text()]).toEqual([
    502,
    expect.stringMatching(/^Envoy's admin interface: .*ECONNREFUSED/),
  ]);
});

interface EndlessAdmin extends AsyncDisposable {
  readonly port: number;
  /** What was handed to the socket. */
  readonly writtenBytes: () => number;
  readonly connections: () => Promise<number>;
}

/** Sends a response of any size, as fast as it is read. */
async function startEndlessAdmin(totalBytes: number): Promise<EndlessAdmin> {
  let written = 0;
  const piece = Buffer.alloc(64 * 1024, 0x20);
  const server: Server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    const send = (): void => {
      while (written < totalBytes && !response.destroyed) {
        written += piece.length;
        if (!response.write(piece)) {
          response.once("drain", send);
          return;
        }
      }
      response.end();
    };
    send();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    writtenBytes: () => written,
    connections: () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count))),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test("a dump of hundreds of megabytes is not held: a caller that does not read stops Envoy's side, and frees it by leaving", async () => {
  await using admin = await startEndlessAdmin(400 * 2 ** 20);
  const inspect = { envoyAdmin: () => ({ host: "127.0.0.1", port: admin.port }) };
  const budgets = testBudgets({ "envoy-pages": 1 });
  await using status = await startStatus({}, { inspect }, budgets);
  const socket = connect({ host: "127.0.0.1", port: status.port });
  socket.write(`GET /debug/envoy/config_dump HTTP/1.1\r\nHost: localhost:${String(status.port)}\r\n\r\n`);
  await once(socket, "readable");
  let before = -1;
  await eventually(
    () => {
      const now = admin.writtenBytes();
      const isStill = now === before;
      before = now;
      expect(isStill).toBe(true);
    },
    { withinMs: 5_000 },
  );
  expect(admin.writtenBytes()).toBeLessThan(40 * 2 ** 20);
  const second = await fetch(status.url("/debug/envoy/certs"));
  expect([second.status, await second.text()]).toEqual([503, "limit envoy-pages of 1 items is reached\n"]);
  socket.destroy();
  await eventually(async () => expect(await admin.connections()).toBe(0), { withinMs: 5_000 });
  await eventually(() => expect(budgets.of("envoy-pages").used).toBe(0), { withinMs: 5_000 });
});

test("a page that is larger than its limit is cut off, and counts", async () => {
  await using admin = await startEndlessAdmin(4 * 2 ** 20);
  const budgets = testBudgets({ "envoy-page-bytes": 2 ** 20 });
  const inspect = { envoyAdmin: () => ({ host: "127.0.0.1", port: admin.port }) };
  await using status = await startStatus({}, { inspect }, budgets);
  const response = await fetch(status.url("/debug/envoy/config_dump"));
  await expect(response.text()).rejects.toThrow();
  const facts = budgets.facts().find(({ name }) => name === "envoy-page-bytes");
  expect(facts?.spentTotal).toBe(1);
});
