// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { HttpError, type HttpRequest, loopback, requestHttp } from "../../../../src/lib/net/http-client.ts";
import { plainExchange } from "../../../../src/lib/net/plain-exchange.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { freePorts } from "../../../support/free-ports.ts";
import { listening } from "../../../support/listening.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const exchange = plainExchange;

async function failureOf(request: HttpRequest, signal?: AbortSignal): Promise<HttpError> {
  const error: unknown = await requestHttp({ exchange, ...request }, signal).catch((cause: unknown) => cause);
  if (!(error instanceof HttpError)) throw new Error("expected an HttpError", { cause: error });
  return error;
}

/** A server that sends this to each connection and closes it. */
function sending(text: string) {
  return listening(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(text));
    }),
  );
}

test.each<Partial<HttpRequest>>([
  {},
  { method: "HEAD" },
  { method: "POST" },
  { method: "purge", body: "hällo" },
  { method: "PUT", headers: { accept: "application/json" }, body: "{}" },
  { method: "POST", body: "kept", maxRedirects: 2 },
])("a server receives the same as from Node's client, and the response is read the same: %j", async (request) => {
  const seen: string[] = [];
  await using server = await listening(
    createTcpServer((socket) => {
      let text = "";
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => {
        text += bytes.toString();
        const length = /content-length: (\d+)/i.exec(text)?.[1] ?? "0";
        const [head = "", body = ""] = text.split("\r\n\r\n");
        if (!text.includes("\r\n\r\n") || Buffer.byteLength(body) < Number(length)) return;
        const lines = head.toLowerCase().split("\r\n").sort();
        seen.push(`${head.split("\r\n")[0] ?? ""} ${lines.join()} ${body}`);
        const isRedirected = request.maxRedirects !== undefined && !head.includes("/there");
        const status = isRedirected ? "307 Temporary Redirect\r\nLocation: /there" : "200 OK";
        const content = /^HEAD/.test(head) ? "" : "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        socket.end(`HTTP/1.1 ${status}\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n${content}`);
      });
    }),
  );
  const url = new URL(`http://localhost:${String(server.port)}/a?b=c d`);
  const byNode = await requestHttp({ url, ...request });
  const plain = await requestHttp({ url, ...request, exchange });
  expect([plain.status, plain.text(), plain.headers["x-a"]]).toEqual([byNode.status, byNode.text(), "b"]);
  expect(plain.text()).toBe(request.method === "HEAD" ? "" : "abcde");
  expect(seen.slice(seen.length / 2)).toEqual(seen.slice(0, seen.length / 2));
});

test("a server is found on a Unix socket, on either loopback address and with credentials of the URL", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "socket");
  const server = createServer((request, response) => response.end(request.headers.authorization ?? "none"));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await using _closed = {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) =>
        server.close(() => {
          resolve();
        }),
      ),
  };
  const overSocket = await requestHttp({ url: loopback(1, "/"), exchange, connection: () => ({ socketPath: path }) });
  expect(overSocket.text()).toBe("none");
  for (const address of ["127.0.0.1", "::1"]) {
    await using tcp = await listening(
      createServer((request, response) => response.end(request.headers.authorization)),
      address,
    );
    const url = new URL(`http://name:pass@localhost:${String(tcp.port)}/`);
    expect((await requestHttp({ url, exchange })).text()).toBe(`Basic ${Buffer.from("name:pass").toString("base64")}`);
  }
});

test("where nothing listens, the error names the IPv4 address", async () => {
  const [port = 0] = await freePorts(1);
  const error = await failureOf({ url: new URL(`http://localhost:${String(port)}/`) });
  expect([error.failure, error.systemCode]).toEqual(["unreachable", "ECONNREFUSED"]);
  expect(error.problem).toBe(`connect ECONNREFUSED 127.0.0.1:${String(port)}`);
});

test.each([
  ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200],
  ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200],
  ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nok", 101],
])("a server that keeps the connection open after %j does not delay the end", async (text, status) => {
  await using server = await listening(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write(text));
    }),
  );
  const response = await requestHttp({ url: loopback(server.port, "/"), exchange });
  expect([response.status, response.text()]).toEqual([status, status === 200 ? "ok" : ""]);
});

test.each([
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "unreachable", /closed before the response was complete/],
  ["HTTP/1.1 200", "unreachable", /closed before the response was complete/],
  ["SSH-2.0\r\n\r\n", "malformed", /not HTTP/],
  ["HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", "malformed", /invalid length/],
  [`HTTP/1.1 200 OK\r\nA: ${"x".repeat(17_000)}\r\n\r\n`, "malformed", /headers are larger than 16384 bytes/],
  ["HTTP/1.1 200 OK\r\n\r\n12345678901", "too-large", /larger than 10 bytes/],
])("a response that is no use is an error: %s", async (text, failure, problem) => {
  await using server = await sending(text);
  const error = await failureOf({ url: loopback(server.port, "/"), maxBodyBytes: 10 });
  expect(error.failure).toBe(failure);
  expect(error.problem).toMatch(problem);
});

test("what would end a line of the request is rejected", async () => {
  for (const path of ["/a\r\nHost: other", "/a b", "/a\0"]) {
    expect((await failureOf({ url: loopback(1, path) })).problem).toBe("the request has invalid characters");
  }
});

test("a deadline and a signal end a request that gets no response", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const reason = new Error("stopped");
  const connected: (() => void)[] = [];
  await using server = await listening(
    createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => connected.shift()?.());
    }),
  );
  const url = loopback(server.port, "/");
  const waiting = new Promise<void>((resolve) => connected.push(resolve));
  const late = failureOf({ url, deadline: { clock, timeoutMs: 500 } });
  await waiting;
  await clock.advance(500);
  expect((await late).failure).toBe("timeout");
  connected.push(() => {
    stop.abort(reason);
  });
  await expect(requestHttp({ url, exchange }, stop.signal)).rejects.toBe(reason);
});
