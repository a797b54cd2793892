// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/lib/async/clock.ts";
import { MemoryShortError } from "../../../src/lib/memory-guard.ts";
import type { AgentResourceType } from "../../../src/xds/index.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { type FakeControlPlane, type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { envoyNode, type ProxyUnderTest, startProxy, type XdsClient } from "../../support/xds-proxy-pair.ts";

const { cluster, listener, nameTable, health } = typeUrls;

function named(name: string, version = "1"): FakeResource {
  return { name, version, value: textField(1, name) };
}

/** A name table handler that keeps what it was given. */
function keeper(budgets = testBudgets()): AgentResourceType & {
  readonly applied: string[][];
  begun: number;
  rejectWith: string | undefined;
  gate: Promise<void>;
} {
  const current = new Map<string, string>();
  return {
    typeUrl: nameTable,
    responseBytes: budgets.of("nds-response-bytes"),
    applied: [],
    begun: 0,
    rejectWith: undefined,
    gate: Promise.resolve(),
    begin() {
      this.begun++;
      let bytes = Buffer.alloc(0);
      const changed = new Map<string, string>();
      return Promise.resolve({
        push: (part: Uint8Array) => {
          bytes = Buffer.concat([bytes, part]);
        },
        endResource: (name: string) => {
          changed.set(name, bytes.subarray(2).toString());
          bytes = Buffer.alloc(0);
        },
        commit: async (kept: ReadonlySet<string>) => {
          await this.gate;
          if (this.rejectWith !== undefined) throw new Error(this.rejectWith);
          for (const name of current.keys()) if (!kept.has(name)) current.delete(name);
          for (const [name, text] of changed) current.set(name, text);
          this.applied.push([...current.values()]);
        },
        [Symbol.dispose]: () => undefined,
      });
    },
  };
}

async function openTriggered(under: ProxyUnderTest, protocol: "sotw" | "delta"): Promise<XdsClient> {
  const client = await under.open(protocol);
  await client.send({ typeUrl: cluster, node: envoyNode });
  await client.send({ typeUrl: listener });
  return client;
}

async function untilSeen(
  controlPlane: FakeControlPlane,
  typeUrl: string,
  count: number,
  withinMs = 1_000,
): Promise<void> {
  await eventually(
    () => {
      expect(controlPlane.seen(typeUrl)).toHaveLength(count);
    },
    { withinMs },
  );
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("the agent's own requests follow the first for listeners, with a type and nothing else", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port], { agentResources: [keeper()] });
    under.proxy.reportHealth({ kind: "healthy" });
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await untilSeen(controlPlane, cluster, 1);
    await client.send({ typeUrl: listener });
    await untilSeen(controlPlane, health, 1);
    expect(controlPlane.requests.map(({ request }) => request.typeUrl)).toEqual([cluster, listener, nameTable, health]);
    expect(controlPlane.seen(nameTable)[0]?.bytes).toHaveLength(nameTable.length + 2);
  });

  test("an agent resource type is applied and accepted, also when it is empty; the client does not see it", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper();
    controlPlane.set(nameTable, [named("t1")]);
    await using under = await startProxy([controlPlane.port], { agentResources: [handler] });
    const client = await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 2);
    controlPlane.set(nameTable, []);
    await untilSeen(controlPlane, nameTable, 3);
    expect(handler.applied).toEqual([["t1"], []]);
    const [, first, second] = controlPlane.seen(nameTable).map(({ request }) => request);
    expect(first).toMatchObject({ errorDetail: undefined, responseNonce: expect.stringMatching(/^n/) as unknown });
    expect(second).toMatchObject({ errorDetail: undefined });
    controlPlane.set(cluster, [named("a")]);
    await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
  });

  test("a rejected agent resource type is a NACK with the reason and the version last accepted", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper();
    controlPlane.set(nameTable, [named("good")]);
    await using under = await startProxy([controlPlane.port], { agentResources: [handler] });
    await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 2);
    handler.rejectWith = "a table of nonsense";
    controlPlane.set(nameTable, [named("bad")]);
    await untilSeen(controlPlane, nameTable, 3);
    const [, accepted, rejected] = controlPlane.seen(nameTable).map(({ request }) => request);
    expect(rejected).toMatchObject({ errorDetail: { code: 13, message: "a table of nonsense" } });
    if (accepted !== undefined && "versionInfo" in accepted)
      expect(rejected).toMatchObject({ versionInfo: accepted.versionInfo });
  });

  test("a response over its limit is rejected with the limit's name, is not read, and the next one is applied", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper(testBudgets({ "nds-response-bytes": 100_000 }));
    controlPlane.set(nameTable, [{ ...named("t1"), value: textField(1, "x".repeat(200_000)) }]);
    await using under = await startProxy([controlPlane.port], { agentResources: [handler] });
    await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 2);
    const message = "limit nds-response-bytes of 100000 bytes is reached";
    expect(controlPlane.seen(nameTable)[1]?.request).toMatchObject({ errorDetail: { message } });
    expect(handler.begun).toBe(0);
    controlPlane.set(nameTable, [named("t2")]);
    await untilSeen(controlPlane, nameTable, 3);
    expect(handler.applied).toEqual([["t2"]]);
  });

  test("an update for which there is no memory is rejected, and is received again when there is", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper();
    const text = "limit container-memory-bytes of 1000 bytes is reached";
    const memory = { short: false, text, isShort: (): boolean => memory.short };
    const begin = handler.begin.bind(handler);
    handler.begin = async (signal) => {
      const update = await begin(signal);
      const push = (part: Uint8Array): void => {
        if (memory.short) throw new MemoryShortError(text);
        update.push(part);
      };
      return { ...update, push, [Symbol.dispose]: update[Symbol.dispose] };
    };
    controlPlane.set(nameTable, [named("t1")]);
    const delay: Clock["delay"] = (ms, signal) => systemClock.delay(ms / 100, signal);
    const clock: Clock = { ...systemClock, delay };
    await using under = await startProxy([controlPlane.port], {
      agentResources: [handler],
      budgets: { ...testBudgets(), memory },
      config: { keepalive: { intervalMs: 1e7, timeoutMs: 1e7 } },
      clock,
    });
    await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 2);
    memory.short = true;
    controlPlane.set(nameTable, [named("t2")]);
    await untilSeen(controlPlane, nameTable, 3);
    expect(controlPlane.seen(nameTable)[2]?.request).toMatchObject({ errorDetail: { message: text } });
    expect(controlPlane.streamsOpened).toBe(1);
    memory.short = false;
    await eventually(() => expect(handler.applied.at(-1)).toEqual(["t2"]), { withinMs: 5_000 });
    expect(controlPlane.streamsOpened).toBe(2);
  });

  test("a response with very many resources is rejected, also while another one is applied, and the next one is applied", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper();
    const gate = Promise.withResolvers<undefined>();
    const many = Array.from({ length: 1_001 }, (_item, index) => named(`r${String(index)}`));
    controlPlane.set(nameTable, many);
    await using under = await startProxy([controlPlane.port], { agentResources: [handler] });
    await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 2);
    const message = "limit agent-resources of 1000 items is reached";
    expect(controlPlane.seen(nameTable)[1]?.request).toMatchObject({ errorDetail: { message } });
    handler.gate = gate.promise;
    controlPlane.set(nameTable, [named("t1")]);
    await eventually(
      () => {
        expect(handler.begun).toBe(2);
      },
      { withinMs: 1_000 },
    );
    controlPlane.set(nameTable, many);
    await untilSeen(controlPlane, nameTable, 3);
    expect(controlPlane.seen(nameTable)[2]?.request).toMatchObject({ errorDetail: { message } });
    gate.resolve(undefined);
    await untilSeen(controlPlane, nameTable, 4);
    expect(handler.applied).toEqual([["t1"]]);
  });

  test("a handler that hangs does not delay the client; it gets the newest state afterwards", async () => {
    await using controlPlane = await startFakeControlPlane();
    const handler = keeper();
    const gate = Promise.withResolvers<undefined>();
    handler.gate = gate.promise;
    controlPlane.set(nameTable, [named("t1")]);
    await using under = await startProxy([controlPlane.port], { agentResources: [handler] });
    const client = await openTriggered(under, protocol);
    await untilSeen(controlPlane, nameTable, 1);
    for (const name of ["t2", "t3"]) controlPlane.set(nameTable, [named(name)]);
    controlPlane.set(cluster, [named("a")]);
    await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
    gate.resolve(undefined);
    await untilSeen(controlPlane, nameTable, 4);
    expect(handler.applied.at(-1)).toEqual(["t3"]);
    expect(handler.applied.length).toBeLessThanOrEqual(2);
  });

  test("V6 V7 7.1.2, 7.1.3, 7.1.4: health: nothing before the first request for listeners, each change after it, the last again on a new stream", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await untilSeen(controlPlane, cluster, 1);
    under.proxy.reportHealth({ kind: "unhealthy", reason: "status 500" });
    await client.send({ typeUrl: listener });
    await untilSeen(controlPlane, health, 1);
    under.proxy.reportHealth({ kind: "healthy" });
    await untilSeen(controlPlane, health, 2);
    await controlPlane.kill();
    under.proxy.reportHealth({ kind: "unhealthy", reason: "gone" });
    await controlPlane.listen(controlPlane.port);
    await untilSeen(controlPlane, health, 3);
    const reports = controlPlane.seen(health).map(({ request }) => request.errorDetail?.message);
    expect(reports).toEqual(["status 500", undefined, "gone"]);
    // The control plane forgets the workload: the health is reported again on the next stream.
    await controlPlane.kill();
    await controlPlane.listen(controlPlane.port);
    await untilSeen(controlPlane, health, 4);
    expect(controlPlane.seen(health).at(-1)?.request.errorDetail?.message).toBe("gone");
  });

  test("a control plane that responds to each NACK with the same again is slowed down", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const startMs = performance.now();
    for (let nacks = 1; nacks <= 33; nacks++) {
      await untilSeen(controlPlane, cluster, nacks, 5_000);
      controlPlane.set(cluster, [named("bad", String(nacks))]);
      await client.nack(await client.next(), "", "no such luck");
    }
    await untilSeen(controlPlane, cluster, 34, 5_000);
    expect(performance.now() - startMs).toBeGreaterThan(3_000);
    expect(under.metrics.rejections.value("cds")).toBe(33);
    expect(under.records.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("what the client rejects is reported once: log, metric, status; and cleared when it accepts", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("good")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const first = await client.next();
    await client.ack(first);
    controlPlane.set(cluster, [named("good"), named("bad", "2")]);
    const second = await client.next();
    await client.nack(second, first.version, "Error adding/updating cluster(s) bad: no such luck");
    await eventually(
      () => {
        expect(under.proxy.status().rejected).toHaveLength(1);
      },
      { withinMs: 1_000 },
    );
    expect(under.proxy.status().rejected).toMatchObject([
      { typeUrl: cluster, resources: ["bad"], versionRejected: second.version },
    ]);
    expect(under.metrics.rejections.value("cds")).toBe(1);
    expect(under.metrics.rejected.value("cds")).toBe(1);
    expect(under.records.filter(({ level }) => level === "warn")).toMatchObject([{ fields: { resources: ["bad"] } }]);
    controlPlane.set(cluster, [named("good"), named("bad", "3")]);
    await client.ack(await client.next());
    await eventually(
      () => {
        expect(under.proxy.status().rejected).toEqual([]);
      },
      { withinMs: 1_000 },
    );
    expect(under.metrics.rejected.value("cds")).toBe(0);
  });
});
