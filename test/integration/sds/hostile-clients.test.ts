// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../../src/lib/grpc/client.ts";
import { readWhole } from "../../../src/lib/grpc/message.ts";
import { contentOf } from "../../fakes/sds-client.ts";
import { eventually } from "../../support/eventually.ts";
import { bundle, certificate, startTestServer, type TestServer } from "./test-server.ts";

const canary = "MC4CAQAwBQYDK2VwBCIEIN-canary-key";

async function assertServing(server: TestServer): Promise<void> {
  using stream = server.client().stream();
  stream.ask({ resource_names: ["default"] });
  expect(contentOf((await stream.untilAnswer(1)).resources[0])).toBe("leaf");
}

test("garbage on the socket and in messages ends only what sent it, and gets no key", async () => {
  await using server = await startTestServer();
  server.set("default", { ...certificate("leaf"), kind: "certificate", keyPem: canary } as never);
  for (let index = 0; index < 30; index++) {
    const socket = connect(server.socketPath);
    const answered: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answered.push(chunk));
    socket.on("error", () => undefined);
    await once(socket, "connect");
    if (index % 2 === 0) socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(randomBytes(2_000));
    socket.end();
    await once(socket, "close");
    expect(Buffer.concat(answered).includes(canary)).toBe(false);
  }
  await using channel = createGrpcChannel(
    { target: { kind: "unix", path: server.socketPath }, authority: "sds-grpc" },
    { clock: systemClock },
  );
  const service = "/envoy.service.secret.v3.SecretDiscoveryService/";
  for (let index = 0; index < 200; index++) {
    const stream = await channel.stream(service + (index % 2 === 0 ? "StreamSecrets" : "DeltaSecrets"));
    await stream.write(randomBytes(1 + (index % 90))).catch(() => undefined);
    if (index % 3 === 0) stream.cancel();
    else await stream.end().catch(() => undefined);
    try {
      for await (const message of stream.responses) {
        expect(Buffer.from(await readWhole(message)).includes(canary)).toBe(false);
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "AGENT_GRPC" });
    }
  }
  await assertServing(server);
  await eventually(
    () => {
      expect(server.metrics.streams.value()).toBe(0);
    },
    { withinMs: 5_000 },
  );
});

test("streams that come and go at any moment leave nothing behind", async () => {
  await using server = await startTestServer();
  const client = server.client();
  const streams = Array.from({ length: 300 }, (_, index) => {
    const stream = client.stream();
    if (index % 4 !== 0) stream.ask({ resource_names: ["default", "ROOTCA"] });
    if (index % 4 === 1) stream[Symbol.dispose]();
    return stream;
  });
  server.set("default", certificate("leaf"));
  server.set("ROOTCA", bundle("root"));
  await streams[2]?.untilAnswer(1);
  for (const stream of streams) stream[Symbol.dispose]();
  await eventually(
    () => {
      expect(server.metrics.streams.value()).toBe(0);
      expect(server.metrics.subscribers.value("default")).toBe(0);
    },
    { withinMs: 5_000 },
  );
  await assertServing(server);
});

test("the key is in no log line, event, metric or error, whatever goes wrong", async () => {
  await using server = await startTestServer();
  const secret = { ...certificate("leaf"), kind: "certificate", keyPem: canary } as never;
  server.set("default", secret);
  server.fail("file-root:/certs/a", new Error("cannot be read"));
  const client = server.client();
  using stream = client.stream();
  stream.ask({ resource_names: ["default"] });
  const { nonce } = await stream.untilAnswer(1);
  stream.ask({ resource_names: ["default"], response_nonce: nonce, error_detail: { code: 3, message: "bad key" } });
  stream.ask({ resource_names: ["default", "nonsense"], response_nonce: nonce });
  const ends = [await stream.untilStatus()];
  using failing = client.stream();
  failing.ask({ resource_names: ["file-root:/certs/a", "default"] });
  ends.push(await failing.untilStatus());
  const seen = JSON.stringify([
    server.records,
    server.events,
    ends,
    server.metrics,
    server.metrics.rejectedRequests.samples(),
  ]);
  expect(server.records.length).toBeGreaterThan(3);
  expect(seen).not.toContain(canary);
});
