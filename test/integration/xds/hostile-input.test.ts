// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { renderRequest } from "../../../src/xds/protocol/request.ts";
import { renderResponse } from "../../../src/xds/protocol/response.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { eventually } from "../../support/eventually.ts";
import { envoyNode, startProxy, XdsClient } from "../../support/xds-proxy-pair.ts";

const { cluster } = typeUrls;

/** The same numbers in every run. */
function randomBytes(seed: number): (length: number) => Buffer {
  let state = seed;
  return (length) => {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes.writeUInt8(state >>> 24, at);
    }
    return bytes;
  };
}

/** A valid message with one part of it replaced, cut off or doubled. */
function damaged(message: Uint8Array, round: number, random: (length: number) => Buffer): Buffer {
  const at = random(2).readUInt16BE() % message.length;
  const kinds = [
    Buffer.concat([message.subarray(0, at), random(3), message.subarray(at + 3)]),
    Buffer.from(message.subarray(0, at)),
    Buffer.concat([message.subarray(0, at), message]),
    random(at),
  ];
  return kinds[round % kinds.length] ?? Buffer.alloc(0);
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("3,000 damaged responses of a control plane harm neither the proxy nor a good response after them", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [{ name: "a", version: "1", value: textField(1, "a") }]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const good = await client.next();
    const message = renderResponse(good, protocol);
    const random = randomBytes(7);
    for (let round = 0; round < 3_000; round++) controlPlane.sendRaw(damaged(message, round, random));
    controlPlane.sendRaw(renderResponse({ ...good, nonce: "last" }, protocol));
    for (;;) {
      const bytes = Buffer.from(await client.nextBytes());
      if (bytes.includes("last")) break;
    }
  });

  test("1,000 streams, each with a damaged request, end one by one; a good stream beside them stays open", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [{ name: "a", version: "1", value: textField(1, "a") }]);
    await using under = await startProxy([controlPlane.port]);
    const good = await under.open(protocol);
    await good.send({ typeUrl: cluster, node: envoyNode });
    const response = await good.next();
    const message = renderRequest(
      { typeUrl: "t", nonce: "n", subscribe: ["a", "b"], node: textField(1, "x") },
      protocol,
    );
    const random = randomBytes(11);
    let rejected = 0;
    for (let round = 0; round < 1_000; round++) {
      await using hostile = await XdsClient.open(under.socketPath, protocol);
      await hostile.stream.write(damaged(message, round, random)).catch(() => undefined);
      await hostile.stream.end().catch(() => undefined);
      await hostile.untilEnd().catch((error: unknown) => {
        expect(error).toMatchObject({ code: "AGENT_GRPC" });
        rejected++;
      });
    }
    expect(rejected).toBeGreaterThan(500);
    await eventually(
      () => {
        expect(under.proxy.status().streams).toHaveLength(1);
      },
      { withinMs: 2_000 },
    );
    await good.ack(response);
    controlPlane.set(cluster, [{ name: "b", version: "1", value: textField(1, "b") }]);
    await expect(good.next()).resolves.toMatchObject({ typeUrl: cluster });
  });
});

test("bytes that are not HTTP/2 end their connection and no other", async () => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, [{ name: "a", version: "1", value: textField(1, "a") }]);
  await using under = await startProxy([controlPlane.port]);
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const random = randomBytes(13);
  for (let round = 0; round < 200; round++) {
    const socket = connect(under.socketPath);
    socket.on("error", () => undefined);
    socket.resume();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.end(Buffer.concat([round % 2 === 0 ? preface : Buffer.alloc(0), random(200)]));
    await closed;
  }
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode });
  await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
});
