// SPDX-License-Identifier: Apache-2.0
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attemptPlainHttp, type PlainAttempt, proveMtls, provePlainTextRejected } from "../../../src/dev/prove-mtls.ts";
import { proveRotation } from "../../../src/dev/prove-rotation.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { loopback, requestHttp } from "../../../src/lib/net/http-client.ts";
import { eventually } from "../../support/eventually.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { type BareMesh, startBareMesh } from "./mesh-without-agents.ts";

const signal = AbortSignal.timeout(60_000);

function plainTo(port: number): (until: AbortSignal) => Promise<PlainAttempt> {
  return (until) => attemptPlainHttp({ host: "127.0.0.1", port }, until);
}

async function serialOf(mesh: BareMesh, workload: "web" | "api"): Promise<string | undefined> {
  return (await mesh.admin[workload].certificates(signal))[0]?.serial;
}

async function variants(mesh: BareMesh): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  for (let request = 0; request < 12; request++) {
    const response = await requestHttp({ url: loopback(mesh.ports.web.app, "/") }, signal);
    seen.add((JSON.parse(response.text()) as { variant: string }).variant);
  }
  return seen;
}

test("the example's resources carry HTTP between two Envoys under mutual TLS, and each fact is proved", async () => {
  await using directory = await temporaryDirectory();
  await using mesh = await startBareMesh(directory.path);

  const mtls = await proveMtls(mesh.ports.web.app, signal);
  expect(mtls).toEqual({
    facts: { mtlsStatus: 200, peerSeenByApi: "spiffe://cluster.local/ns/demo/sa/web" },
    failure: undefined,
  });
  const plain = await provePlainTextRejected(plainTo(mesh.ports.api.envoy), mesh.apps.api, systemClock, signal);
  expect(plain).toEqual({ facts: { plainTextRefused: true }, failure: undefined });

  const rotation = proveRotation(
    { webAppPort: mesh.ports.web.app, serialOf: (workload) => serialOf(mesh, workload), withinMs: 20_000 },
    systemClock,
    signal,
  );
  await eventually(
    () => {
      expect(mesh.apps.api.seenPaths).toContain("/proof/rotation");
    },
    { withinMs: 5_000 },
  );
  await mesh.rotate("api");
  await mesh.rotate("web");
  const { facts, failure } = await rotation;
  expect(failure).toBeUndefined();
  expect(facts).toMatchObject({ rotations: 2, failed: 0, certificatesSeenByApi: 2 });
  expect(facts.requests).toBeGreaterThanOrEqual(20);
});

test("an edited weight and an edited fault take effect without a restart", async () => {
  await using directory = await temporaryDirectory();
  await using mesh = await startBareMesh(directory.path);
  expect(await variants(mesh)).toEqual(new Set(["blue"]));

  await mesh.edit("web", "rds.yaml", (text) =>
    text.replace("weight: 100", "weight: 50").replace("weight: 0", "weight: 50"),
  );
  await eventually(
    async () => {
      expect(await variants(mesh)).toEqual(new Set(["blue", "green"]));
    },
    { withinMs: 5_000 },
  );

  await mesh.edit("web", "rds.yaml", (text) => text.replace("numerator: 0", "numerator: 100"));
  await eventually(
    async () => {
      expect((await requestHttp({ url: loopback(mesh.ports.web.app, "/") }, signal)).status).toBe(503);
    },
    { withinMs: 5_000 },
  );
});

test("a workload with a certificate of an unknown root gets no traffic, and the proof fails", async () => {
  await using directory = await temporaryDirectory();
  await using mesh = await startBareMesh(directory.path);
  await mkdir(join(directory.path, "foreign"));
  await mesh.rotate("api", await createOpensslPki(join(directory.path, "foreign")));
  const outcome = await eventually(
    async () => {
      const { failure, facts } = await proveMtls(mesh.ports.web.app, signal);
      expect(failure?.proof).toBe("mtls");
      return { failure, facts };
    },
    { withinMs: 10_000 },
  );
  expect(outcome.facts).toEqual({ mtlsStatus: 503, peerSeenByApi: null });
  expect(outcome.failure?.why).toMatch(/503 instead of 200: upstream connect error/);
});

test("a port that accepts plain HTTP, and a closed port, do not prove the rejection", async () => {
  await using directory = await temporaryDirectory();
  await using mesh = await startBareMesh(directory.path);
  const open = await provePlainTextRejected(plainTo(mesh.ports.web.envoy), mesh.apps.api, systemClock, signal);
  expect(open.facts.plainTextRefused).toBe(false);
  expect(open.failure?.why).toContain("reached api's application");
  const closed = await provePlainTextRejected(plainTo(mesh.ports.web.readiness), mesh.apps.web, systemClock, signal);
  expect(closed.facts.plainTextRefused).toBe(false);
  expect(closed.failure?.why).toMatch(/accepts no connection: .*ECONNREFUSED/);
});
