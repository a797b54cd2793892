// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:net";
import { expect, test } from "vitest";
import type { AppProbe, AppProbeHandler } from "../../../src/status/status-config.ts";
import { answer, routes, startFakeApp } from "../../fakes/fake-app.ts";
import { testBudgets } from "../../support/budgets.ts";
import { listening } from "../../support/listening.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { startStatus } from "./status-fixture.ts";

function probes(handler: AppProbeHandler, timeoutMs = 2_000): Readonly<Record<string, AppProbe>> {
  return { "/app-health/app/livez": { handler, timeoutMs } };
}

function http(port: number, path: string): AppProbeHandler {
  return { kind: "http", scheme: "http", port, path };
}

const live = "/app-health/app/livez";

/** Where the application is and what a probe of it comes from; ::6 is on loopback only where traffic is captured. */
const families = [
  { family: "IPv4", appHost: "127.0.0.1", probeSourceAddress: "127.0.0.6", urlHost: "127.0.0.1" },
  { family: "IPv6", appHost: "::1", probeSourceAddress: "::1", urlHost: "[::1]" },
] as const;

test("a probe may have more time than a timer of Node.js holds", async () => {
  await using app = await startFakeApp(answer(200, "fine"));
  await using status = await startStatus({ appProbes: probes(http(app.port, "/"), 5_000_000_000) });
  expect((await rawHttp(status.port, { target: live })).status).toBe(200);
});

test("P10 a path that no probe has is not found", async () => {
  await using status = await startStatus();
  for (const target of ["/app-health/none/livez", "/app-lifecycle/none/prestopz", "/nowhere"]) {
    expect((await rawHttp(status.port, { target })).status).toBe(404);
  }
});

test.each(families)(
  "P12 P19 P20 over $family the application sees the kubelet's headers, its own port in Host, and a close",
  async (at) => {
    await using app = await startFakeApp(answer(203, "fine"), at.appHost);
    await using status = await startStatus({ ...at, appProbes: probes(http(app.port, "ok?x=1")) });
    const port = String(status.port);
    const headers = [`Host: pod:${port}`, "X-Custom: a", "X-Custom: b", "User-Agent: kube-probe/1.34", "Accept: */*"];
    const made = await rawHttp(status.port, { target: `${live}?ignored=1`, method: "POST", headers, body: "ignored" });
    expect([made.status, made.body]).toEqual([203, "fine"]);
    const [seen] = app.requests;
    expect([seen?.method, seen?.url, seen?.remoteAddress]).toEqual(["GET", "/ok?x=1", at.probeSourceAddress]);
    expect(pairs(seen?.rawHeaders ?? [])).toEqual([
      `Host: pod:${String(app.port)}`,
      "X-Custom: a",
      "X-Custom: b",
      "User-Agent: kube-probe/1.34",
      "Accept: */*",
      "Connection: close",
    ]);
  },
);

test("P11 P13 readiness, liveness and a hook succeed at the pod's address, at localhost, and without one", async () => {
  await using app = await startFakeApp((request, response) => {
    response.writeHead(request.url === "/ok" ? 200 : 404).end();
  }, "0.0.0.0");
  // as the configuration gives it, where the injector wrote the path without its slash
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/ok" } as const;
  const paths = ["/app-health/web/readyz", "/app-health/web/livez", "/app-lifecycle/web/prestopz"];
  for (const appHost of ["127.0.0.1", "localhost", "0.0.0.0"]) {
    const appProbes = Object.fromEntries(paths.map((path) => [path, { handler, timeoutMs: 1_000 }]));
    await using status = await startStatus({ appHost, appProbes });
    for (const target of paths) expect((await rawHttp(status.port, { target })).status).toBe(200);
  }
});

test("a Host that names the status port gets the application's port instead", async () => {
  await using app = await startFakeApp(answer(200));
  await using status = await startStatus({ appProbes: probes(http(app.port, "/")) });
  await fetch(status.url(live));
  expect(pairs(app.requests[0]?.rawHeaders ?? [])[0]).toBe(`Host: 127.0.0.1:${String(app.port)}`);
});

test.each(families)(
  "P15 over $family redirects on the same host are followed, loops fail, other hosts count as a success",
  async (at) => {
    await using app = await startFakeApp(
      routes({
        "/": answer(204),
        "/home": answer(302, "", { Location: "/" }),
        "/loop": answer(302, "", { Location: "/loop" }),
        "/away": answer(302, "", { Location: "http://elsewhere.example/" }),
        "/nowhere": answer(301),
        "/closed": answer(302, "", { Location: `http://${at.urlHost}:1/` }),
        "/same": answer(307, "", { Location: `http://${at.urlHost}/` }),
      }),
      at.appHost,
    );
    const expected = { "/home": 204, "/loop": 500, "/away": 200, "/nowhere": 200, "/closed": 500, "/same": 500 };
    for (const [path, code] of Object.entries(expected)) {
      await using status = await startStatus({ ...at, appProbes: probes(http(app.port, path)) });
      expect([path, (await fetch(status.url(live))).status]).toEqual([path, code]);
    }
    expect(app.requests.filter(({ url }) => url === "/loop")).toHaveLength(10);
  },
);

/** An application that responds to each path with these bytes and leaves the connection open. */
function rawApp(responses: Readonly<Record<string, string>>) {
  return listening(
    createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (bytes) => {
        const target = bytes.toString("latin1").split(" ")[1] ?? "";
        socket.write(responses[target] ?? `HTTP/1.1 404 ${target}\r\nContent-Length: 0\r\n\r\n`, "latin1");
      });
    }),
  );
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test.each([
  ["next", "/a/next", 200],
  ["?b=c", "/a/page?b=c", 200],
  ["/voil\u00c3\u00a0", "/voil%C3%A0", 200],
  ["/voil\u00e0", "/voil%E0", 200],
  ["/a/next\r\nLocation: /elsewhere", "/a/next", 200],
])("P15 a redirect to %j leads to %s", async (location, target, code) => {
  const redirect = `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
  await using app = await rawApp({ "/a/page": redirect, [target]: okResponse });
  await using status = await startStatus({ appProbes: probes(http(app.port, "/a/page")) });
  const made = await rawHttp(status.port, { target: live });
  expect([made.status, made.body]).toEqual([code, "ok"]);
});

test.each([
  ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "the application responded with status 101"],
  ["SSH-2.0-OpenSSH\r\n", "the response is not HTTP/1.1"],
  ["\u0015\u0003\u0001\0\u0002\u0002F", "the response is not HTTP/1.1"],
  ["HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the response has a malformed header"],
])("an application that says %j and no more fails its probe at once", async (text, reason) => {
  await using app = await rawApp({ "/": text });
  await using status = await startStatus({ appProbes: probes(http(app.port, "/"), 3_600_000) });
  const made = await rawHttp(status.port, { target: live });
  expect([made.status, made.headers.get("x-attache-probe-fault")]).toEqual([500, "app"]);
  expect(made.headers.get("x-attache-probe-reason")).toBe(reason);
});

test("a header of the kubelet arrives byte for byte", async () => {
  await using app = await startFakeApp(answer(200));
  await using status = await startStatus({ appProbes: probes(http(app.port, "/")) });
  await rawHttp(status.port, { target: live, headers: ["X-Text: na\u00efve \u010a"] });
  const text = Buffer.from("na\u00efve \u010a").toString("latin1");
  expect(pairs(app.requests[0]?.rawHeaders ?? [])).toContain(`X-Text: ${text}`);
});

test.each(families)(
  "P16 over $family every final status is passed through with the first 10 KiB of its body",
  async (at) => {
    let code = 200;
    await using app = await startFakeApp((request, response) => {
      response.writeHead(code).end("x".repeat(20_000));
      request.resume();
    }, at.appHost);
    await using status = await startStatus({ ...at, appProbes: probes(http(app.port, "/")) });
    const withBody = Array.from({ length: 312 }, (_, index) => 200 + index).filter((each) => each < 300 || each > 399);
    for (code of withBody.filter((each) => each !== 204 && each !== 205)) {
      const made = await rawHttp(status.port, { target: live });
      expect([made.status, made.body.length]).toEqual([code, 10_240]);
    }
    for (code = 300; code < 400; code++) {
      expect((await rawHttp(status.port, { target: live })).status).toBe(200);
    }
  },
);

test("P16 a 204 is passed through, also when the application sends a body after it, which it must not", async () => {
  await using server = await listening(
    createServer((socket) => {
      socket
        .on("error", () => undefined)
        .once("data", () => {
          socket.end("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello");
        });
    }),
  );
  for (const probeKeepalive of [false, true]) {
    await using status = await startStatus({ probeKeepalive, appProbes: probes(http(server.port, "/")) });
    for (let time = 0; time < 3; time++) {
      const made = await rawHttp(status.port, { target: live });
      expect([made.status, made.body, made.headers.get("content-length")]).toEqual([204, "", undefined]);
    }
  }
});

test("a response with larger headers than the budget fails the probe and names the limit; a longer body is cut", async () => {
  await using app = await startFakeApp(
    routes({ "/headers": answer(200, "", { "X-Large": "x".repeat(5_000) }), "/body": answer(503, "y".repeat(300)) }),
  );
  const budgets = testBudgets({ "probe-header-bytes": 4_096, "probe-body-bytes": 100 });
  const probe = async (path: string) => {
    await using status = await startStatus({ appProbes: probes(http(app.port, path)) }, {}, budgets);
    return await rawHttp(status.port, { target: live });
  };
  const { status, headers } = await probe("/headers");
  expect([status, headers.get("x-attache-probe-fault"), headers.get("x-attache-probe-reason")]).toEqual([
    ...[500, "app", "headers of the response: limit probe-header-bytes of 4096 bytes is reached"],
  ]);
  expect(await probe("/body")).toMatchObject({ status: 503, body: "y".repeat(100) });
});

test.each([
  [5, 200, null],
  [6, 500, /too many interim responses/],
  [5_000, 500, /too many interim responses/],
])("an application that sends %s interim answers first is answered with %s", async (count, expected, reason) => {
  await using server = await listening(
    createServer((socket) => {
      socket
        .on("error", () => undefined)
        .once("data", () => {
          socket.write("HTTP/1.1 100 Continue\r\n\r\n".repeat(count));
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
    }),
  );
  await using status = await startStatus({ appProbes: probes(http(server.port, "/")) });
  const made = await rawHttp(status.port, { target: live });
  expect(made.status).toBe(expected);
  if (reason !== null) expect(made.headers.get("x-attache-probe-reason")).toMatch(reason);
});

test("what the application does wrong is said to be the application's fault", async () => {
  await using slow = await startFakeApp(() => undefined);
  await using reset = await startFakeApp((request) => request.socket.destroy());
  const cases = [
    { handler: http(1, "/"), config: {}, fault: "app", reason: /ECONNREFUSED/ },
    { handler: http(slow.port, "/"), config: {}, fault: "app", reason: /no response within the probe's timeout/ },
    { handler: http(reset.port, "/"), config: {}, fault: "app", reason: /the connection ended|ECONNRESET/ },
    // the probe then comes from the pod's own address
    {
      handler: http(slow.port, "/"),
      config: { probeSourceAddress: "192.0.2.1" },
      fault: "app",
      reason: /no response within the probe's timeout/,
    },
    { handler: { kind: "tcp", port: 1 } as const, config: {}, fault: "app", reason: /ECONNREFUSED/ },
  ];
  for (const { handler, config, fault, reason } of cases) {
    await using status = await startStatus({ ...config, appProbes: probes(handler, 300) });
    const made = await fetch(status.url(live));
    expect([made.status, await made.text()]).toEqual([500, ""]);
    expect(made.headers.get("x-attache-probe-fault")).toBe(fault);
    expect(made.headers.get("x-attache-probe-reason")).toMatch(reason);
    expect(status.records.filter(({ level }) => level !== "debug" && level !== "info")).toEqual([]);
  }
});

test("P14 a TCP probe connects and closes; a bracketed host does not resolve", async () => {
  await using app = await startFakeApp(answer(200), "::");
  const hosts = { "127.0.0.1": 200, localhost: 200, "": 200, "[::1]": 500 };
  for (const [appHost, code] of Object.entries(hosts)) {
    await using status = await startStatus({ appHost, appProbes: probes({ kind: "tcp", port: app.port }) });
    expect([appHost, (await fetch(status.url(live))).status]).toEqual([appHost, code]);
  }
  await using six = await startStatus({
    appHost: "::1",
    probeSourceAddress: "::1",
    appProbes: probes({ kind: "tcp", port: app.port }),
  });
  expect((await fetch(six.url(live))).status).toBe(200);
});

function pairs(raw: readonly string[]): readonly string[] {
  return raw.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${raw[index + 1] ?? ""}`] : []));
}
