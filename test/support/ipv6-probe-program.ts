// SPDX-License-Identifier: Apache-2.0
import { serving, startFakeHealth } from "../fakes/fake-health.ts";
import { answer, startFakeApp } from "../fakes/fake-app.ts";
import { startStatus } from "../integration/status/status-fixture.ts";

/** Probes an application on the address that it is given, from ::6; prints what came of it as JSON. */
const appHost = process.argv[2] ?? "::1";
await using app = await startFakeApp(answer(200), appHost);
await using health = await startFakeHealth({ host: appHost, statuses: { "": serving.serving } });
const handlers = {
  livez: { kind: "http", scheme: "http", path: "/", port: app.port },
  readyz: { kind: "tcp", port: app.port },
  startupz: { kind: "grpc", port: health.port, service: "" },
} as const;
const appProbes = Object.fromEntries(
  Object.entries(handlers).map(([name, handler]) => [`/app-health/app/${name}`, { handler, timeoutMs: 2_000 }]),
);
await using status = await startStatus({ appHost, probeSourceAddress: "::6", appProbes });
const answers: number[] = [];
for (const path of Object.keys(appProbes)) {
  answers.push((await fetch(status.url(path), { headers: { connection: "close" } })).status);
}
process.stdout.write(JSON.stringify({ answers, from: app.requests[0]?.remoteAddress }));
