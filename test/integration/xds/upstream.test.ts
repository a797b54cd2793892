// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { ServerCredentials, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import type { XdsSecurity } from "../../../src/xds/xds-config.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { eventually } from "../../support/eventually.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { startProxy } from "../../support/xds-proxy-pair.ts";

const { cluster } = typeUrls;
const resources = [{ name: "a", version: "1", value: textField(1, "a") }];

/** Leaves time to change the control plane between two attempts. */
const slowBackoff = { firstMs: 300, factor: 1, maxMs: 300, idleMaxMs: 300 };

function tlsWith(rootPath: string, client?: { readonly chainPath: string; readonly keyPath: string }): XdsSecurity {
  const roots = { kind: "file", path: rootPath } as const;
  return { kind: "tls", serverName: "127.0.0.1", roots, client, policy: "default" };
}

test("an HTTP proxy is used, with credentials, and its rejection is logged", async () => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, resources);
  const asked: string[] = [];
  let rejects = true;
  const proxy = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (head: Buffer) => {
      asked.push(head.toString("latin1"));
      if (rejects) {
        socket.end("HTTP/1.1 407 Who are you\r\n\r\n");
        return;
      }
      const onward = connect(controlPlane.port, "127.0.0.1");
      onward.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
      socket.on("close", () => {
        onward.destroy();
      });
    });
  });
  await new Promise<void>((resolve) =>
    proxy.listen(0, "127.0.0.1", () => {
      resolve();
    }),
  );
  const { port } = proxy.address() as AddressInfo;
  const httpProxy = { host: "127.0.0.1", port, authorization: "Basic eDp5" };
  {
    await using under = await startProxy([15012], { upstream: { httpProxy } });
    const client = await under.open("delta");
    await client.send({ typeUrl: cluster });
    await eventually(
      () => {
        expect(under.records.some(({ fields }) => String(fields["reason"]).includes("407 Who are you"))).toBe(true);
      },
      { withinMs: 1_000 },
    );
    rejects = false;
    await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
    expect(asked[0]).toBe(
      "CONNECT 127.0.0.1:15012 HTTP/1.1\r\nHost: 127.0.0.1:15012\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
    );
  }
  await new Promise((resolve) => proxy.close(resolve));
});

test("a client certificate is presented if it exists; files are read for each connection", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  // the second name is the one that the connection is verified by
  const server = await pki.issue("spiffe://cluster.local/ns/istio-system/sa/istiod,IP:127.0.0.1");
  const key = { cert_chain: Buffer.from(server.chainPem), private_key: Buffer.from(server.keyPem) };
  const credentials = ServerCredentials.createSsl(Buffer.from(pki.rootPem), [key], true);
  await using controlPlane = await startFakeControlPlane(credentials);
  controlPlane.set(cluster, resources);
  const path = (name: string): string => join(directory.path, `${name}.pem`);
  await writeFile(path("trusted"), pki.rootPem);
  const security = tlsWith(path("trusted"), { chainPath: path("chain"), keyPath: path("key") });
  await using under = await startProxy([controlPlane.port], { upstream: { security } });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster });
  await eventually(
    () => {
      expect(under.metrics.connectionFailures.value()).toBeGreaterThan(0);
    },
    { withinMs: 2_000 },
  );
  const own = await pki.issue("spiffe://cluster.local/ns/a/sa/b");
  await writeFile(path("chain"), own.chainPem);
  await writeFile(path("key"), own.keyPem);
  await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
});

test("plaintext where TLS is expected, and the reverse, are distinct in the log", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const rootPath = join(directory.path, "root-cert.pem");
  await writeFile(rootPath, pki.rootPem);
  const untilReason = async (port: number, security: XdsSecurity, text: string): Promise<void> => {
    await using under = await startProxy([port], { upstream: { security } });
    const client = await under.open("sotw");
    await client.send({ typeUrl: cluster });
    await eventually(
      () => {
        expect(under.records.map(({ fields }) => String(fields["reason"])).join()).toContain(text);
      },
      { withinMs: 2_000 },
    );
  };
  await using plain = await startFakeControlPlane();
  await untilReason(plain.port, tlsWith(rootPath), "is this a plaintext port?");
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/a/sa/b");
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  await using secured = await startFakeControlPlane(ServerCredentials.createSsl(null, [pair]));
  await untilReason(secured.port, { kind: "plaintext" }, "is this a TLS port?");
});

test("a connection to an address that never responds ends at the connect deadline", async () => {
  const hole = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.resume();
  });
  await new Promise<void>((resolve) =>
    hole.listen(0, "127.0.0.1", () => {
      resolve();
    }),
  );
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, resources);
  {
    await using under = await startProxy([(hole.address() as AddressInfo).port, controlPlane.port], {
      upstream: { connectTimeoutMs: 200 },
    });
    const client = await under.open("delta");
    const startMs = performance.now();
    await client.send({ typeUrl: cluster });
    await client.next();
    expect(performance.now() - startMs).toBeLessThan(1_500);
    expect(under.records.some(({ message }) => message === "control plane unreachable; trying the next address")).toBe(
      true,
    );
  }
  await new Promise((resolve) => hole.close(resolve));
});

test("a stream is logged as connected when the control plane has accepted it, not before", async () => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.responds = false;
  await using under = await startProxy([controlPlane.port], { upstream: { backoff: slowBackoff } });
  const messages = (): readonly string[] =>
    under.records.filter(({ level }) => level !== "debug").map(({ message }) => message);
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster });
  await eventually(() => expect(controlPlane.seen(cluster)).toHaveLength(1), { withinMs: 2_000 });
  expect(messages()).toEqual([]);
  controlPlane.fail(status.UNAUTHENTICATED, "no token");
  const failure = "stream to the control plane failed; retrying";
  await eventually(() => expect(messages()).toEqual([failure]), { withinMs: 2_000 });
  controlPlane.responds = true;
  controlPlane.set(cluster, resources);
  await client.next();
  await eventually(() => expect(messages()).toEqual([failure, "connected to the control plane"]), { withinMs: 2_000 });
});

test("C21: an outage of the control plane is one line, however many tries there are, and one when it ends", async () => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, resources);
  const { port } = controlPlane;
  const often = { firstMs: 5, factor: 1, maxMs: 10, idleMaxMs: 10 };
  await using under = await startProxy([port], { upstream: { backoff: often } });
  const lines = (): readonly (readonly [string, string])[] =>
    under.records.filter(({ level }) => level !== "debug").map(({ level, message }) => [level, message]);
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster });
  await client.next();
  await controlPlane[Symbol.asyncDispose]();
  await systemClock.delay(1_000);
  const outage = lines().slice(1);
  // the stream's end may be seen before the refused connections
  expect(outage.length, JSON.stringify(outage)).toBeLessThanOrEqual(2);
  expect(outage.at(-1)).toEqual(["warn", "control plane unreachable; retrying"]);
  await controlPlane.listen(port);
  controlPlane.set(cluster, [{ name: "b", version: "2", value: textField(1, "b") }]);
  await client.next();
  expect(lines().slice(1 + outage.length)).toEqual([["info", "connected to the control plane"]]);
  const fields = under.records.filter(({ message }) => message.startsWith("connected")).at(-1)?.fields;
  expect(fields?.["failures"]).toBeGreaterThan(20);
});

test("C21: in an outage, a control plane that rejects the agent for another reason than before is a line of its own", async () => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.responds = false;
  const often = { firstMs: 5, factor: 1, maxMs: 10, idleMaxMs: 10 };
  await using under = await startProxy([controlPlane.port], { upstream: { backoff: often } });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster });
  const seen = (): readonly unknown[] =>
    under.records.filter(({ level }) => level === "warn").map(({ fields }) => fields["status"]);
  const reject = async (code: status): Promise<void> => {
    const { streamsOpened } = controlPlane;
    controlPlane.fail(code, "not now");
    await eventually(() => expect(controlPlane.streamsOpened).toBeGreaterThan(streamsOpened), { withinMs: 2_000 });
  };
  await eventually(() => expect(controlPlane.streamsOpened).toBe(1), { withinMs: 2_000 });
  for (const code of [status.UNAVAILABLE, status.UNAUTHENTICATED, status.UNAVAILABLE, status.INTERNAL]) {
    await reject(code);
  }
  await eventually(() => expect(seen()).toEqual(["UNAVAILABLE", "UNAUTHENTICATED", "INTERNAL"]), { withinMs: 2_000 });
});
