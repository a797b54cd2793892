// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { StatusPortError } from "../../../src/status/index.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { startStatus } from "./status-fixture.ts";

/** An address of this machine that is not loopback; undefined where there is none. */
const outsideAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;

test("C1 quit and drain from loopback answer OK and are passed on, over IPv4 and IPv6", async () => {
  await using status = await startStatus();
  for (const host of ["127.0.0.1", "::1"]) {
    const answer = await rawHttp(status.port, { method: "POST", target: "/quitquitquit", host });
    expect([answer.status, answer.body]).toEqual([200, "OK"]);
  }
  const drained = await rawHttp(status.port, { method: "POST", target: "/drain", body: "now" });
  expect([drained.status, drained.body]).toEqual([200, "OK"]);
  expect(status.asked).toEqual(["quit", "quit", "drain"]);
});

test("C2 quit refuses other methods, and refuses callers from elsewhere before it looks at the method", async () => {
  await using status = await startStatus();
  const get = await rawHttp(status.port, { target: "/quitquitquit" });
  expect([get.status, get.body]).toEqual([405, "Method Not Allowed\n"]);
  if (outsideAddress !== undefined) {
    for (const method of ["GET", "POST"]) {
      const headers = ["X-Forwarded-For: 127.0.0.1"];
      const answer = await rawHttp(status.port, { method, target: "/drain", host: outsideAddress, headers });
      expect([answer.status, answer.body]).toEqual([403, "Only requests from localhost are allowed\n"]);
    }
  }
  expect(status.asked).toEqual([]);
});

test("A3: a renewal is requested by a POST from loopback; where it is not possible, 409 says why", async () => {
  await using status = await startStatus();
  const answer = await rawHttp(status.port, { method: "POST", target: "/rotate" });
  expect([answer.status, answer.body]).toEqual([200, "OK"]);
  expect((await rawHttp(status.port, { target: "/rotate" })).status).toBe(405);
  if (outsideAddress !== undefined) {
    expect((await rawHttp(status.port, { method: "POST", target: "/rotate", host: outsideAddress })).status).toBe(403);
  }
  expect(status.asked).toEqual(["rotate"]);
  await using provided = await startStatus({}, { rotate: () => "certificates come from files" });
  const refused = await rawHttp(provided.port, { method: "POST", target: "/rotate" });
  expect([refused.status, refused.body]).toEqual([409, "certificates come from files\n"]);
});

test("quit and drain refuse the page of another site that a browser here shows", async () => {
  await using status = await startStatus();
  for (const target of ["/quitquitquit", "/drain", "/rotate"]) {
    const headers = ["Sec-Fetch-Site: cross-site"];
    expect((await rawHttp(status.port, { method: "POST", target, headers })).status).toBe(403);
  }
  expect(status.asked).toEqual([]);
});

test("quit, drain and log levels refuse a page that reaches loopback by a name or an origin of its own", async () => {
  await using status = await startStatus();
  const own = `localhost:${String(status.port)}`;
  for (const headers of [
    ["Host: rebound.evil.example:15020", "Origin: http://rebound.evil.example:15020"],
    ["Host: 127-0-0-1.evil.example"],
    [`Host: ${own}`, "Origin: http://evil.example"],
    [`Host: ${own}`, "Origin: null"],
  ]) {
    for (const target of ["/quitquitquit", "/drain", "/rotate", "/debug/logging?level=debug"]) {
      expect((await rawHttp(status.port, { method: "POST", target, headers })).status).toBe(403);
    }
  }
  expect(status.asked).toEqual([]);
});

test("quit and drain refuse what Envoy forwards to loopback", async () => {
  await using status = await startStatus();
  for (const headers of [["X-Forwarded-Proto: http"], ["X-Envoy-Expected-Rq-Timeout-Ms: 15000"]]) {
    for (const target of ["/quitquitquit", "/drain", "/rotate", "/debug/"]) {
      expect((await rawHttp(status.port, { method: "POST", target, headers })).status).toBe(403);
    }
  }
  const captured = connect({ port: status.port, host: "127.0.0.1", localAddress: "127.0.0.6" });
  captured.write("POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  expect(await text(captured)).toMatch(/^HTTP\/1\.1 403 /);
  expect(status.asked).toEqual([]);
});

test("a path with dot segments never reaches the handler that it would fold to", async () => {
  await using status = await startStatus();
  const folded = await rawHttp(status.port, { method: "POST", target: "/healthz/ready/../../quitquitquit" });
  expect([folded.status, folded.headers.get("location")]).toEqual([307, "/quitquitquit"]);
  for (const target of ["/healthz/ready/%2e%2e/%2e%2e/quitquitquit", "/healthz/..%2f..%2fquitquitquit"]) {
    expect((await rawHttp(status.port, { method: "POST", target })).status).toBe(404);
  }
  expect(status.asked).toEqual([]);
});

test("a redirect never leads to another host, also where browsers take a backslash for a slash", async () => {
  await using status = await startStatus();
  for (const [target, location] of [
    ["//evil.example/x", "/evil.example/x"],
    [".//\\evil.example", undefined],
    ["/.//\\evil.example", "/%5Cevil.example"],
    ["http://a/..//\\evil.example", "/%5Cevil.example"],
  ] as const) {
    expect((await rawHttp(status.port, { target })).headers.get("location")).toBe(location);
  }
});

test("an unknown path is a plain 404 that varies by encoding, as all answers do", async () => {
  await using status = await startStatus();
  const answer = await rawHttp(status.port, { target: "/healthz/readyFOO" });
  expect([answer.status, answer.body]).toEqual([404, "404 page not found\n"]);
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect(answer.headers.get("vary")).toBe("Accept-Encoding");
});

test("garbage on the connection is answered with 400, and the server lives", async () => {
  await using status = await startStatus();
  expect((await rawHttp(status.port, { target: "/%zz" })).status).toBe(400);
  expect((await rawHttp(status.port, { method: "?? ", target: "\u0000" })).status).toBe(400);
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
});

test("a taken port is fatal, and the error names the port and the process that has it", async () => {
  await using first = await startStatus();
  const error = await startStatus({ port: first.port }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StatusPortError);
  expect(String(error)).toContain(`listen on status port ${String(first.port)}: `);
  expect(String(error)).toContain(`(process ${String(process.pid)})`);
});

test("disposing twice is harmless, and open connections do not hold it up", async () => {
  const status = await startStatus();
  await fetch(status.url("/healthz/ready"));
  await status[Symbol.asyncDispose]();
  await status[Symbol.asyncDispose]();
  await expect(fetch(status.url("/healthz/ready"))).rejects.toThrow();
});
