// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type LookupFunction } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { HttpError, type HttpRequest, loopback, requestHttp, streamHttp } from "../../../../src/lib/net/http-client.ts";
import { startHttpsServer } from "../../../fakes/https-server.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { listening } from "../../../support/listening.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { testAuthority } from "../../../support/test-authority.ts";

async function failureOf(request: HttpRequest, signal?: AbortSignal): Promise<HttpError> {
  const error: unknown = await requestHttp(request, signal).catch((cause: unknown) => cause);
  if (!(error instanceof HttpError)) throw new Error("expected an HttpError", { cause: error });
  return error;
}

/** Records what arrived and answers by path. */
function recording(routes: Readonly<Record<string, RequestListener>>): {
  readonly seen: string[];
  readonly handle: RequestListener;
} {
  const seen: string[] = [];
  const handle: RequestListener = (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      const { authorization = "-", connection = "-" } = request.headers;
      seen.push(`${String(request.method)} ${String(request.url)} ${authorization} ${connection} ${body}`.trim());
      const route = routes[request.url ?? ""];
      if (route === undefined) response.end("ok");
      else route(request, response);
    });
  };
  return { seen, handle };
}

test("a request is sent as given, on a connection that is closed afterwards", async () => {
  const { seen, handle } = recording({});
  await using server = await listening(createServer(handle));
  const url = loopback(server.port, "/a/../b?filter=^x|y$");
  const response = await requestHttp({ url, method: "POST", headers: { authorization: "Bearer t" }, body: "hällo" });
  expect([response.status, response.text()]).toEqual([200, "ok"]);
  expect(seen).toEqual(["POST /a/../b?filter=^x|y$ Bearer t close hällo"]);
});

test("a method keeps its letter case", async () => {
  await using server = await listening(
    createTcpServer((socket) => {
      socket.once("data", (bytes) => {
        const line = bytes.toString().split("\r\n")[0] ?? "";
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${String(line.length)}\r\n\r\n${line}`);
      });
    }),
  );
  const response = await requestHttp({ url: loopback(server.port, "/"), method: "purge" });
  expect(response.text()).toBe("purge / HTTP/1.1");
});

test("a body above the limit is an error, also when only its decompressed form is", async () => {
  const { handle } = recording({
    "/plain": (_request, response) => response.end("x".repeat(2_000)),
    "/gzip": (_request, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("x".repeat(2_000))),
    "/bad-gzip": (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end("no gzip"),
  });
  await using server = await listening(createServer(handle));
  const get = (path: string, maxBodyBytes: number): HttpRequest => ({
    url: loopback(server.port, path),
    maxBodyBytes,
    gzip: true,
  });
  for (const path of ["/plain", "/gzip"]) {
    const error = await failureOf(get(path, 1_999));
    expect([error.failure, error.problem]).toEqual(["too-large", "the response's body is larger than 1999 bytes"]);
    expect((await requestHttp(get(path, 2_000))).text()).toHaveLength(2_000);
  }
  expect((await failureOf(get("/bad-gzip", 2_000))).failure).toBe("malformed");
});

test("a response that does not end is an error when the deadline passes on the injected clock", async () => {
  const clock = new FakeClock();
  const begun = Promise.withResolvers<undefined>();
  await using server = await listening(
    createServer((_request, response) => {
      response.write("begun", () => {
        begun.resolve(undefined);
      });
    }),
  );
  const failed = failureOf({ url: loopback(server.port, "/slow?token=s3cret"), deadline: { clock, timeoutMs: 500 } });
  await begun.promise;
  await clock.advance(500);
  const error = await failed;
  expect(error.failure).toBe("timeout");
  expect(error.message).toBe(`GET http://127.0.0.1:${String(server.port)}/slow: no response within 500 ms`);
  expect(clock.pendingDelaysMs).toEqual([]);
});

test("an aborted signal ends a request with the signal's reason", async () => {
  const stop = new AbortController();
  const reason = new Error("stopped");
  await using server = await listening(
    createServer(() => {
      stop.abort(reason);
    }),
  );
  await expect(requestHttp({ url: loopback(server.port, "/") }, stop.signal)).rejects.toBe(reason);
  await expect(requestHttp({ url: loopback(server.port, "/") }, stop.signal)).rejects.toBe(reason);
});

test("an error says which call failed, where, and with which system code", async () => {
  const closed = await listening(createServer());
  await closed[Symbol.asyncDispose]();
  const refused = await failureOf({ url: loopback(closed.port, "/x"), method: "PUT" });
  expect([refused.failure, refused.systemCode]).toEqual(["unreachable", "ECONNREFUSED"]);
  expect(refused.message).toMatch(`PUT http://127.0.0.1:${String(closed.port)}/x: connect ECONNREFUSED`);

  await using nonsense = await listening(createTcpServer((socket) => socket.end("SSH-2.0-x\r\n")));
  expect((await failureOf({ url: loopback(nonsense.port, "/") })).failure).toBe("malformed");

  await using cut = await listening(
    createTcpServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    }),
  );
  expect((await failureOf({ url: loopback(cut.port, "/") })).failure).toBe("unreachable");
});

test("redirects are followed up to the limit; credentials stay with their origin", async () => {
  const to = (status: number, location: string): RequestListener => {
    return (_request, response) => response.writeHead(status, { location }).end();
  };
  const other = recording({});
  await using otherServer = await listening(createServer(other.handle));
  const { seen, handle } = recording({
    "/away": to(302, `http://127.0.0.1:${String(otherServer.port)}/there`),
    "/away-with-body": to(307, `http://127.0.0.1:${String(otherServer.port)}/there`),
    "/nowhere": to(302, "http://["),
    "/303": to(303, "/end"),
    "/307": to(307, "/end"),
    "/loop": to(301, "/loop"),
  });
  await using server = await listening(createServer(handle));
  const post = (path: string, maxRedirects?: number): HttpRequest => ({
    url: loopback(server.port, path),
    method: "POST",
    body: "b",
    headers: { authorization: "Bearer t" },
    ...(maxRedirects === undefined ? {} : { maxRedirects }),
  });
  expect((await requestHttp(post("/303"))).status).toBe(303);
  for (const path of ["/303", "/307", "/away"]) expect((await requestHttp(post(path, 1))).status).toBe(200);
  expect((await failureOf(post("/away-with-body", 1))).failure).toBe("insecure");
  expect((await failureOf(post("/nowhere", 1))).failure).toBe("malformed");
  expect(seen).toEqual([
    "POST /303 Bearer t close b",
    "POST /303 Bearer t close b",
    "GET /end Bearer t close",
    "POST /307 Bearer t close b",
    "POST /end Bearer t close b",
    "POST /away Bearer t close b",
    "POST /away-with-body Bearer t close b",
    "POST /nowhere Bearer t close b",
  ]);
  expect(other.seen).toEqual(["GET /there - close"]);
  expect((await failureOf(post("/loop", 3))).failure).toBe("too-many-redirects");
});

test("a redirect to another origin takes along no header that may be a credential, whatever its name", async () => {
  const received: (readonly string[])[] = [];
  await using other = await listening(
    createServer((request, response) => {
      received.push(Object.keys(request.headers).toSorted());
      response.end("ok");
    }),
  );
  await using server = await listening(
    createServer((request, response) => {
      const location = request.url === "/away" ? `http://localhost:${String(other.port)}/` : "/away";
      response.writeHead(302, { location }).end();
    }),
  );
  const headers = {
    accept: "*/*",
    "user-agent": "u",
    cookie: "c",
    "proxy-authorization": "p",
    "X-Vault-Token": "t",
    "x-aws-ec2-metadata-token": "a",
    "metadata-flavor": "Google",
    "private-token": "g",
  };
  const url = new URL(`http://127.0.0.1:${String(server.port)}/`);
  await requestHttp({ url, headers, secretHeaders: { authorization: "Bearer t" }, maxRedirects: 3 });
  expect(received).toEqual([["accept", "connection", "host", "user-agent"]]);
});

test("a credential is sent over verified TLS, a Unix socket or loopback, and in no other way", async () => {
  const authority = testAuthority("test root", Date.now());
  const seen: unknown[] = [];
  await using tlsServer = await startHttpsServer(authority, ({ headers }) => {
    seen.push(headers["x-secret"]);
    return { status: 200, body: "" };
  });
  await using server = await listening(createServer((_request, response) => response.end()));
  const secretHeaders = { "x-secret": "s" };
  const lookup: LookupFunction = (_host, _options, done) => {
    done(null, [{ address: "127.0.0.1", family: 4 }]);
  };
  const secure = new URL(`https://localhost:${String(tlsServer.port)}/`);
  await requestHttp({ url: secure, secretHeaders, connection: () => ({ tls: { ca: authority.rootPem } }) });
  await requestHttp({ url: loopback(server.port, "/"), secretHeaders });
  expect(seen).toEqual(["s"]);
  for (const [url, tls] of [
    [`https://name.example:${String(tlsServer.port)}/`, { rejectUnauthorized: false }],
    [`http://name.example:${String(server.port)}/`, {}],
    [`http://127.0.0.1.name.example:${String(server.port)}/`, {}],
  ] as const) {
    const error = await failureOf({ url: new URL(url), secretHeaders, connection: () => ({ tls, lookup }) });
    expect([error.failure, error.problem]).toEqual(["insecure", expect.stringContaining("verified TLS")]);
    const login = new URL(url);
    [login.username, login.password] = ["u", "p"];
    expect((await failureOf({ url: login, connection: () => ({ tls, lookup }) })).failure).toBe("insecure");
  }
  const proxied = { url: loopback(server.port, "/"), secretHeaders, connection: () => ({ proxies: {} }) };
  expect((await failureOf(proxied)).failure).toBe("insecure");
  expect(seen).toEqual(["s"]);
});

test("a body of any size is read as it comes, and is cut off where its reader stops", async () => {
  const closed = Promise.withResolvers<boolean>();
  await using server = await listening(
    createServer((_request, response) => {
      const write = (): void => {
        while (response.write(Buffer.alloc(65_536)));
        response.once("drain", write);
      };
      response.on("close", () => {
        closed.resolve(response.writableFinished);
      });
      write();
    }),
  );
  const request = { url: loopback(server.port, "/"), maxBodyBytes: Number.POSITIVE_INFINITY };
  const read = await streamHttp(request, async ({ chunks }) => {
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > 40_000_000) break;
    }
    return bytes;
  });
  expect(read).toBeGreaterThan(40_000_000);
  expect(await closed.promise).toBe(false);
  const failure = new Error("the disk is full");
  await expect(streamHttp(request, () => Promise.reject(failure))).rejects.toBe(failure);
});

test("a server is verified by the given trust anchors", async () => {
  const authority = testAuthority("test root", Date.now());
  await using server = await startHttpsServer(authority, ({ path }) => ({ status: 200, body: path }));
  const url = new URL(`https://localhost:${String(server.port)}/secure`);
  expect((await failureOf({ url })).failure).toBe("tls");
  const response = await requestHttp({ url, connection: () => ({ tls: { ca: authority.rootPem } }) });
  expect(response.text()).toBe("/secure");
});

test("a server on a Unix socket is reached by its path", async () => {
  await using directory = await temporaryDirectory();
  const socketPath = join(directory.path, "socket");
  const server = createServer((request, response) => response.end(request.url));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    const response = await requestHttp({
      url: new URL("http://localhost/on-unix"),
      connection: () => ({ socketPath }),
    });
    expect(response.text()).toBe("/on-unix");
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a proxy is used for hosts that are not excepted", async () => {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end("from the proxy");
  });
  await using server = await listening(proxy);
  const proxies = { HTTP_PROXY: `http://127.0.0.1:${String((proxy.address() as AddressInfo).port)}` };
  const url = new URL("http://module.example/m");
  const response = await requestHttp({ url, connection: () => ({ proxies }) });
  expect([response.text(), asked, server.port > 0]).toEqual(["from the proxy", ["http://module.example/m"], true]);
});
