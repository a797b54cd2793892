// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { createMachineToken } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { renderResponse } from "../../../src/xds/protocol/response.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { startFakeMetadataServer } from "../../fakes/fake-metadata-server.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { envoyNode, startProxy } from "../../support/xds-proxy-pair.ts";

const { cluster, listener } = typeUrls;
const debug = "type.googleapis.com/istio.io/debug";

function named(name: string, version = "1"): FakeResource {
  return { name, version, value: textField(1, name) };
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("7.1.1: one request for clusters gets one response; bytes pass unchanged in both directions", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a"), named("b")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    const unknown = Buffer.from([0xfa, 0x3e, 1, 0x41]);
    const sent = await client.send({ typeUrl: cluster, node: envoyNode, rest: [unknown] });
    const response = await client.next();
    expect(response.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(controlPlane.requests.map(({ bytes }) => bytes)).toEqual([Buffer.from(sent)]);
    await client.ack(response);
    await eventually(
      () => {
        expect(controlPlane.requests).toHaveLength(2);
      },
      { withinMs: 1_000 },
    );
    expect(under.metrics.requests.value()).toBe(2);
    expect(under.metrics.responses.value()).toBe(1);
  });

  test("7.1.5: the newest stream works: after another closed, beside another, and when two are interleaved", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    controlPlane.set(listener, [named("l")]);
    await using under = await startProxy([controlPlane.port]);
    const first = await under.open(protocol);
    await first.send({ typeUrl: cluster });
    await first.next();
    await first.stream.end();
    await first.untilEnd();
    const [second, third] = [await under.open(protocol), await under.open(protocol)];
    await second.send({ typeUrl: cluster });
    await third.send({ typeUrl: listener });
    await second.send({ typeUrl: listener });
    await third.send({ typeUrl: cluster });
    for (const client of [second, third]) {
      const types = [(await client.next()).typeUrl, (await client.next()).typeUrl];
      expect(types.sort()).toEqual([cluster, listener]);
    }
  });

  test("a second stream of Envoy closes the first with OK; other clients stay", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const [older, other, newer] = [await under.open(protocol), await under.open(protocol), await under.open(protocol)];
    await older.send({ typeUrl: cluster, node: envoyNode });
    await other.send({ typeUrl: debug, node: textField(1, "curious") });
    await eventually(
      () => {
        expect(controlPlane.openStreams).toBe(3);
      },
      { withinMs: 1_000 },
    );
    await newer.send({ typeUrl: cluster, node: envoyNode });
    await older.untilEnd();
    expect(under.proxy.status().streams.map(({ isEnvoy }) => isEnvoy)).toEqual([false, true]);
  });

  test("two streams of Envoy stay during a hot restart; a third closes the oldest", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port], { maxEnvoyStreams: 2 });
    const clients = [await under.open(protocol), await under.open(protocol), await under.open(protocol)];
    for (const [index, client] of clients.entries()) {
      await client.send({ typeUrl: cluster, node: envoyNode });
      await eventually(
        () => {
          expect(under.proxy.status().streams.filter(({ isEnvoy }) => isEnvoy)).toHaveLength(Math.min(index + 1, 2));
        },
        { withinMs: 1_000 },
      );
    }
    await clients[0]?.untilEnd();
  });

  test("debug responses go to the client that requested them", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(debug, [named("syncz")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: debug, subscribe: ["syncz"] });
    await expect(client.next()).resolves.toMatchObject({ typeUrl: debug });
  });

  test("an unsubscribed resource type is rejected with a reason and does not reach the client", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster });
    await client.next();
    const typeUrl = "type.googleapis.com/istio.security.Authorization";
    controlPlane.sendRaw(renderResponse({ typeUrl, version: "9", nonce: "x", resources: [], removed: [] }, protocol));
    const rejection = await eventually(
      () => {
        const [seen] = controlPlane.seen(typeUrl);
        if (seen === undefined) throw new Error("not rejected yet");
        return seen;
      },
      { withinMs: 1_000 },
    );
    expect(rejection.request).toMatchObject({
      responseNonce: "x",
      errorDetail: { message: expect.stringContaining(typeUrl) as unknown },
    });
  });

  test("a message above the request limit ends the stream with resource exhausted; other services do not exist", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port], {
      budgets: testBudgets({ "xds-request-bytes": 1_000 }),
    });
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, subscribe: ["x".repeat(1_000)] });
    await expect(client.untilEnd()).rejects.toMatchObject({ status: status.RESOURCE_EXHAUSTED });
  });

  test("C20: what Envoy sends after a reconnect passes, also above the 4 MiB of pilot-agent", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    const subscribe = Array.from({ length: 5_000 }, (_, number) => String(number).padStart(1_000, "x"));
    await client.send({ typeUrl: cluster, subscribe });
    await eventually(() => expect(controlPlane.seen(cluster)).toHaveLength(1), { withinMs: 10_000 });
  });

  test("a malformed request ends the stream with invalid argument", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.stream.write(Buffer.from([0xff, 0xff, 0xff]));
    await expect(client.untilEnd()).rejects.toMatchObject({ status: status.INVALID_ARGUMENT });
  });

  test("the control plane sees token, cluster and headers; the token is read for each stream", async () => {
    const { writeFile } = await import("node:fs/promises");
    const { join } = await import("node:path");
    await using controlPlane = await startFakeControlPlane();
    const { temporaryDirectory } = await import("../../support/temporary-directory.ts");
    await using directory = await temporaryDirectory();
    const tokenPath = join(directory.path, "token");
    await writeFile(tokenPath, " first \n");
    await using under = await startProxy([controlPlane.port], { upstream: { tokenPath, headers: { x_two: "b2" } } });
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster });
    await eventually(
      () => {
        expect(controlPlane.requests).toHaveLength(1);
      },
      { withinMs: 1_000 },
    );
    const metadata = controlPlane.requests[0]?.metadata;
    expect(metadata?.get("authorization")).toBe("Bearer first");
    expect(metadata?.get("clusterid")).toBe("c1");
    expect(metadata?.get("x_two")).toBe("b2");
    await writeFile(tokenPath, "second");
    controlPlane.end();
    await eventually(
      () => {
        expect(controlPlane.requests.at(-1)?.metadata.get("authorization")).toBe("Bearer second");
      },
      { withinMs: 2_000 },
    );
  });

  test("a machine's token comes from its metadata server; without one the stream has no token", async () => {
    let isDown = false;
    await using server = await startFakeMetadataServer(() => (isDown ? undefined : "machine"));
    await using controlPlane = await startFakeControlPlane();
    const config = { host: "127.0.0.1", port: server.port, audience: "cluster.local" };
    const readToken = createMachineToken(config, { clock: systemClock, budgets: testBudgets() });
    await using under = await startProxy([controlPlane.port], { readToken });
    await (await under.open(protocol)).send({ typeUrl: cluster });
    const tokens = (): readonly unknown[] => controlPlane.requests.map(({ metadata }) => metadata.get("authorization"));
    await eventually(
      () => {
        expect(tokens()).toEqual(["Bearer machine"]);
      },
      { withinMs: 1_000 },
    );
    isDown = true;
    controlPlane.end();
    await eventually(
      () => {
        expect(tokens()).toEqual(["Bearer machine", undefined]);
        expect(under.records.map(({ message }) => message)).toContain(
          "machine token unavailable; connecting without a token",
        );
      },
      { withinMs: 2_000 },
    );
  });

  test("a message of 20 MB reaches the client unchanged", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster });
    await client.next();
    const any = Buffer.concat([textField(1, cluster), Buffer.from([0x12]), lengthOf(4_000), Buffer.alloc(4_000, 7)]);
    const resources = Array.from({ length: 5_000 }, (_, index) => ({ name: `c${String(index)}`, version: "2", any }));
    const bytes = renderResponse({ typeUrl: cluster, version: "2", nonce: "big", resources, removed: [] }, protocol);
    controlPlane.sendRaw(bytes);
    expect(Buffer.compare(await client.nextBytes(), bytes)).toBe(0);
    await client.ack({ typeUrl: cluster, version: "2", nonce: "big", resources: [], removed: [] });
    await eventually(
      () => {
        expect(controlPlane.seen(cluster).at(-1)?.request.responseNonce).toBe("big");
      },
      { withinMs: 1_000 },
    );
  });
});

function lengthOf(length: number): Buffer {
  return Buffer.from([(length % 128) + 128, Math.floor(length / 128)]);
}
