// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { logScopes } from "../../../src/model/log-scopes.ts";
import type { LogLevelControl } from "../../../src/status/index.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { projectRoot } from "../../support/run-program.ts";
import { rawHttp } from "../../support/raw-http.ts";
import type { EventLoopReport } from "../../../src/status/debug/profiles.ts";
import { startStatus } from "./status-fixture.ts";

const outsideAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;

test("the index names every page, and every page but the costly ones answers", async () => {
  await using status = await startStatus({}, { inspect: { node: () => ({ id: "sidecar~10.1.2.3" }) } });
  const index = await (await fetch(status.url("/debug/"))).text();
  const paths = index.split("\n").flatMap((line) => /^\/\S+/.exec(line)?.[0] ?? []);
  expect(paths.length).toBeGreaterThan(8);
  const answers = new Map<string, number>();
  for (const path of paths.filter((path) => !/cpu|heap|event-loop/.test(path))) {
    answers.set(path, (await fetch(status.url(path))).status);
  }
  expect(Object.fromEntries(answers)).toMatchObject({ "/debug/readiness": 200, "/debug/node": 200, "/debug/xds": 404 });
  expect((await fetch(status.url("/debug/none"))).status).toBe(404);
  expect((await fetch(status.url("/debug"), { redirect: "manual" })).status).toBe(307);
});

test("C4 the command line is told where Go programs have it, and not when debugging is off", async () => {
  await using status = await startStatus();
  expect((await fetch(status.url("/debug/pprof/cmdline"))).status).toBe(200);
  await using off = await startStatus({ debug: false });
  for (const path of ["/debug/", "/debug/pprof/cmdline", "/debug/ndsz", "/"]) {
    const answer = await fetch(off.url(path), { headers: { Accept: "text/html" } });
    expect(answer.status).toBe(404);
  }
});

test("callers from elsewhere, pages of other sites and other host names are refused", async () => {
  await using status = await startStatus();
  const requests = [
    { headers: ["Sec-Fetch-Site: cross-site"] },
    { headers: ["Host: evil.example"] },
    ...(outsideAddress === undefined ? [] : [{ host: outsideAddress, headers: ["Host: localhost"] }]),
  ];
  for (const request of requests) {
    expect((await rawHttp(status.port, { ...request, target: "/debug/" })).status).toBe(403);
    expect((await rawHttp(status.port, { ...request, target: "/debug/heap" })).status).toBe(403);
  }
  const posted = await rawHttp(status.port, {
    method: "POST",
    target: "/quitquitquit",
    headers: ["Sec-Fetch-Site: cross-site"],
  });
  expect([posted.status, status.asked]).toEqual([403, []]);
  expect(
    (await rawHttp(status.port, { target: "/debug/", headers: [`Host: localhost:${String(status.port)}`] })).status,
  ).toBe(200);
});

test("the name table is 404 with an empty object until there is one", async () => {
  const tables: object[] = [];
  const nameTable = () => tables[0] && Readable.from([JSON.stringify(tables[0])]);
  await using status = await startStatus({}, { inspect: { nameTable } });
  const none = await fetch(status.url("/debug/ndsz"));
  expect([none.status, await none.text()]).toEqual([404, "{}"]);
  tables.push({ table: { "a.b.": { ips: ["10.0.0.1"] } } });
  expect(await (await fetch(status.url("/debug/ndsz"))).json()).toEqual(tables[0]);
});

test("a log level is changed for a while and comes back by itself", async () => {
  const overridden = new Map<string, string>();
  const logLevels: LogLevelControl = {
    read: () => new Map([["default", "info"], ...overridden]),
    override: (scope, level) => {
      if (level === undefined) overridden.delete(scope);
      else overridden.set(scope, level);
    },
  };
  await using status = await startStatus({}, { inspect: { logLevels } });
  const post = (query: string) => fetch(status.url(`/debug/logging?${query}`), { method: "POST" });
  expect((await fetch(status.url("/debug/logging?sds=debug"))).status).toBe(405);
  for (const wrong of ["sds=loud", "sds=debug&for=never", "sds=debug&for=-1s", "sds=debug&for=25h"]) {
    expect((await post(wrong)).status).toBe(400);
  }
  expect(overridden.size).toBe(0);
  expect(await (await post("sds=debug&for=200ms")).text()).toContain("sds: debug (temporary)");
  expect(overridden.get("sds")).toBe("debug");
  await eventually(() => expect(overridden.size).toBe(0), { withinMs: 2_000 });
  await post("level=debug&for=1h");
  expect(overridden.get("default")).toBe("debug");
});

test("24: a scope that does not exist is 400 with the list, Istio's names are known, and all=debug means every scope", async () => {
  const overridden = new Map<string, string>();
  const logLevels: LogLevelControl = {
    read: () => overridden,
    override: (scope, level) => {
      if (level !== undefined) overridden.set(scope, level);
    },
  };
  await using status = await startStatus({}, { inspect: { logLevels } });
  const post = (query: string) => fetch(status.url(`/debug/logging?${query}`), { method: "POST" });
  const wrong = await post("sds=debug&upstream=debug");
  expect([wrong.status, overridden.size]).toEqual([400, 0]);
  expect(await wrong.text()).toBe(
    'unknown scope "upstream"; the scopes are all, default, ca, cert, dns, envoy, grpc, healthcheck, host, metrics, sds, status, wasm, xdsproxy, and envoy:LOGGER\n',
  );
  await post("citadelclient=warn");
  expect([...overridden]).toEqual([["ca", "warn"]]);
  expect((await post("all=debug&sds=error")).status).toBe(200);
  expect(overridden.size).toBe(logScopes.length);
  expect(overridden.get("sds")).toBe("error");
  expect([...overridden].filter(([, level]) => level === "debug")).toHaveLength(logScopes.length - 1);
});

test("24: the scopes of the list are those that the code uses", () => {
  const source = join(projectRoot, "src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const used = files.flatMap((file) =>
    [...readFileSync(join(source, file), "utf8").matchAll(/\.scope\("([\w-]+)"\)/g)].map(([, scope = ""]) => scope),
  );
  expect(used.length).toBeGreaterThan(10);
  expect(used.filter((scope) => !logScopes.includes(scope))).toEqual([]);
});

test("profiles are made on demand", async () => {
  await using status = await startStatus();
  const loop = (await (await fetch(status.url("/debug/event-loop?seconds=0.2"))).json()) as EventLoopReport;
  expect(loop.maxMs).toBeGreaterThan(0);
  expect(loop.waitsFor["TCPSocketWrap"]).toBeGreaterThan(0);
  const profile = (await (await fetch(status.url("/debug/cpu?seconds=0.2"))).json()) as { nodes: unknown[] };
  expect(profile.nodes.length).toBeGreaterThan(0);
  const heap = await fetch(status.url("/debug/heap"));
  expect((await heap.text()).startsWith('{"snapshot"')).toBe(true);
}, 60_000);

test("one profile is made at a time; a further one is rejected with the limit's name, and so are too many log levels", async () => {
  const logLevels: LogLevelControl = { read: () => new Map([["default", "info"]]), override: () => undefined };
  await using status = await startStatus({}, { inspect: { logLevels } }, testBudgets({ "log-level-overrides": 2 }));
  const answers = await Promise.all(
    ["event-loop", "cpu", "event-loop"].map(async (page) => {
      const { status: code, body } = await rawHttp(status.port, { target: `/debug/${page}?seconds=1` });
      return code === 200 ? "made" : `${String(code)} ${body}`;
    }),
  );
  const rejected = "503 limit debug-profiles of 1 items is reached\n";
  expect(answers.toSorted()).toEqual([rejected, rejected, "made"]);
  const many = await fetch(status.url("/debug/logging?all=debug"), { method: "POST" });
  expect([many.status, await many.text()]).toEqual([503, "limit log-level-overrides of 2 items is reached\n"]);
});

test("a heap snapshot has the names of properties and no value of a string, however short or plain", async () => {
  await using status = await startStatus();
  const secrets = ["Basic dXNlcjpodW50ZXIy", `p!${randomBytes(3).toString("hex")}`, "postgres://u:pass!8@h/db"];
  const holder = { propertyThatHoldsSecrets: secrets.map((secret) => Buffer.from(secret).toString()) };
  const snapshot = await (await fetch(status.url("/debug/heap"))).text();
  expect(snapshot).toContain("propertyThatHoldsSecrets");
  for (const secret of holder.propertyThatHoldsSecrets) expect(snapshot.includes(secret), secret).toBe(false);
}, 60_000);

test("the page shows what is pending, certificates with their time left, refusals and probes, and no markup of others", async () => {
  await using app = await startFakeApp(answer(500));
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/" } as const;
  const inspect = {
    certificates: () => [
      { resourceName: "default", spiffeId: "spiffe://c/ns/a/sa/b", notAfterMs: Date.now() + 90_061_500 },
    ],
    xds: () => {
      const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
      const refusal = { version: "8", sinceMs: 1_500_000, resources: ["inbound"], reason: "<b>bad</b>" };
      return {
        connected: true,
        types: [{ typeUrl, version: "7", refusal }],
        cache: { servingSinceMs: 1_000_000, savedAtMs: 500_000 },
      };
    },
  };
  await using status = await startStatus(
    { appProbes: { "/app-health/a/livez": { handler, timeoutMs: 500 } } },
    { inspect },
  );
  await fetch(status.url("/app-health/a/livez"));
  status.readiness.hold("identity", "sign CSR: <script>alert(1)</script>");
  expect((await fetch(status.url("/"))).status).toBe(404);
  const answered = await fetch(status.url("/"), { headers: { Accept: "text/html,*/*" } });
  const page = await answered.text();
  expect(answered.headers.get("content-security-policy")).toContain("default-src 'none'");
  const policy = answered.headers.get("content-security-policy") ?? "";
  expect(policy).toMatch(/style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'/);
  expect(policy).not.toContain("unsafe");
  for (const part of ["Not ready", "identity", "in 1 d 1 h", "spiffe://c/ns/a/sa/b", "/app-health/a/livez"]) {
    expect(page).toContain(part);
  }
  expect(page).toMatch(/Envoy rejects listeners \(LDS\) \(<b>inbound<\/b>\).*&#60;b&#62;bad&#60;\/b&#62;/);
  expect(page).toMatch(/served from the cache, which was saved <time datetime="1970-01-01T00:08:20\.000Z"/);
  expect(page).not.toMatch(/<script>alert|<b>bad|https?:\/\//);
});

test("a page that is longer than its limit is rejected with the limit's name", async () => {
  const inspect = { node: () => ["x".repeat(2_000)], xds: () => ({ connected: true, types: [] }) };
  await using status = await startStatus({}, { inspect }, testBudgets({ "debug-output-bytes": 1_500 }));
  const long = await fetch(status.url("/debug/node"));
  expect([long.status, await long.text()]).toEqual([503, "limit debug-output-bytes of 1500 bytes is reached\n"]);
  expect((await fetch(status.url("/debug/xds"))).status).toBe(200);
});

test("text of peers has no control characters in JSON pages, and means the same", async () => {
  const node = { reason: "\u009b2J \u202e \u2028 \u007f\n" };
  await using status = await startStatus({}, { inspect: { node: () => node } });
  const text = await (await fetch(status.url("/debug/node"))).text();
  expect(JSON.parse(text)).toEqual(node);
  expect(text).toContain("\\u009b2J \\u202e \\u2028 \\u007f\\n");
});
