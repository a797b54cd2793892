// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PendingRecord } from "../../../src/xds/cache/cache-record.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { type FakeControlPlane, type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { startAdsEnvoy } from "../../support/ads-envoy.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { envoyNode, type ProxyUnderTest, startProxy } from "../../support/xds-proxy-pair.ts";
import { clusterResource, listenerResource } from "../../support/xds-resources.ts";

const { cluster, listener, secret } = typeUrls;
const endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

function named(name: string, version = "1"): FakeResource {
  return { name, version, value: textField(1, name) };
}

function withCache(directory: string, maxAgeMs = 60_000) {
  return { config: { cache: { directory, serveAfterMs: 100, maxAgeMs } } };
}

async function recordNames(directory: string): Promise<string[]> {
  return (await readdir(directory)).sort();
}

/** Fills a cache: clusters a and b, endpoints of both, one after the other, and a secret. */
async function fill(directory: string, protocol: "sotw" | "delta"): Promise<void> {
  await using controlPlane = await startFakeControlPlane();
  await using under = await startProxy([controlPlane.port], withCache(directory));
  const client = await under.open(protocol);
  controlPlane.set(cluster, [named("old"), named("a")]);
  await client.send({ typeUrl: cluster, node: envoyNode });
  await client.ack(await client.next());
  controlPlane.set(cluster, [named("a"), named("b")]);
  await client.ack(await client.next());
  controlPlane.set(endpoints, [named("a", "e1")]);
  await client.send({ typeUrl: endpoints, subscribe: ["a", "b"] });
  await client.ack(await client.next(), protocol === "sotw" ? ["a", "b"] : []);
  controlPlane.set(secret, [named("s")]);
  await client.send({ typeUrl: secret, subscribe: ["s"] });
  await client.ack(await client.next(), protocol === "sotw" ? ["s"] : []);
  controlPlane.set(cluster, [named("rejected")]);
  await client.nack(await client.next(), "", "no");
  await eventually(
    async () => {
      expect((await recordNames(directory)).filter((name) => name.endsWith(".part"))).toEqual([]);
      expect((await recordNames(directory)).some((name) => name.startsWith("eds."))).toBe(true);
    },
    { withinMs: 2_000 },
  );
}

/** A control plane that cannot be reached, on a port that stays the same. */
async function startDead(): Promise<FakeControlPlane> {
  const controlPlane = await startFakeControlPlane();
  await controlPlane.kill();
  return controlPlane;
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("accepted responses are served while the control plane is down, and replaced without a gap when it is back", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, protocol);
    await using controlPlane = await startDead();
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const cached = await client.next();
    expect(cached.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(under.metrics.cacheStalenessSeconds.value()).toBeGreaterThan(0);
    expect(under.proxy.status().cache).toMatchObject({ savedAtMs: expect.any(Number) as unknown });
    await client.ack(cached);
    await client.send({ typeUrl: endpoints, subscribe: ["a"] });
    const load = await client.next();
    expect(load.resources.map(({ name }) => name)).toEqual(["a"]);
    await client.ack(load, protocol === "sotw" ? ["a"] : []);
    controlPlane.set(cluster, [named("a"), named("c")]);
    controlPlane.set(endpoints, [named("a", "e1")]);
    await controlPlane.listen(controlPlane.port);
    const fresh = await client.next();
    expect(fresh.typeUrl).toBe(cluster);
    if (protocol === "delta") expect(fresh).toMatchObject({ resources: [{ name: "c" }], removed: ["b"] });
    else expect(fresh.resources.map(({ name }) => name)).toEqual(["a", "c"]);
    await client.ack(fresh);
    await eventually(
      () => {
        expect(under.proxy.status().cache).toBeUndefined();
      },
      { withinMs: 1_000 },
    );
    expect(under.metrics.cacheStalenessSeconds.value()).toBe(0);
  });

  test("the cache also serves while a control plane is connected but silent", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, protocol);
    await using controlPlane = await startFakeControlPlane();
    controlPlane.responds = false;
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const cached = await client.next();
    expect(cached.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    await client.ack(cached);
    await eventually(
      () => {
        expect(controlPlane.streamsOpened).toBe(2);
      },
      { withinMs: 2_000 },
    );
  });

  test("neither secrets nor rejected responses are kept, and only the owner can read the files", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, protocol);
    const names = await recordNames(directory.path);
    expect([...new Set(names.map((name) => name.split(".")[0]))]).toEqual(["cds", "eds"]);
    for (const name of names) {
      const path = join(directory.path, name);
      expect(((await stat(path)).mode & 0o777).toString(8)).toBe("600");
      expect((await readFile(path)).includes("rejected")).toBe(false);
    }
  });
});

describe("a cache is not used, with a warning,", () => {
  const untilUnusable = async (under: ProxyUnderTest, reason: string, node = envoyNode): Promise<void> => {
    const client = await under.open("delta");
    await client.send({ typeUrl: cluster, node });
    await eventually(
      () => {
        const warning = under.records.find(({ message }) => message.startsWith("cannot use the xDS cache"));
        expect(warning?.fields["reason"]).toContain(reason);
      },
      { withinMs: 1_000 },
    );
    expect(under.proxy.status().cache).toBeUndefined();
  };

  test("with one flipped byte", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, "delta");
    const path = join(directory.path, (await recordNames(directory.path))[0] ?? "");
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(path, bytes);
    await using controlPlane = await startDead();
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    await untilUnusable(under, "checksum");
  });

  test("of another node", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, "delta");
    await using controlPlane = await startDead();
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const other = Buffer.concat([textField(1, "sidecar~10.0.0.2~x.y~y.svc"), textField(6, "envoy")]);
    await untilUnusable(under, "another node", other);
  });

  test("that is too old", async () => {
    await using directory = await temporaryDirectory();
    await fill(directory.path, "delta");
    await using controlPlane = await startDead();
    await using under = await startProxy([controlPlane.port], withCache(directory.path, -1));
    await untilUnusable(under, "too old");
  });
});

test("many small changes are merged, and all resources are served", async () => {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  {
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const client = await under.open("delta");
    controlPlane.set(cluster, [named("a")]);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await client.ack(await client.next());
    for (let round = 0; round < 80; round++) {
      controlPlane.set(cluster, [named("a"), named(`c${String(round % 3)}`, String(round))]);
      await client.ack(await client.next());
    }
    // the last acknowledgement has passed the cache
    await eventually(() => expect(controlPlane.seen(cluster)).toHaveLength(82), { withinMs: 2_000 });
    await eventually(
      async () => {
        expect((await recordNames(directory.path)).length).toBeLessThan(40);
      },
      { withinMs: 2_000 },
    );
  }
  await controlPlane.kill();
  await using under = await startProxy([controlPlane.port], withCache(directory.path));
  const client = await under.open("sotw");
  await client.send({ typeUrl: cluster, node: envoyNode });
  expect((await client.next()).resources.map(({ name }) => name)).toEqual(["a", "c1"]);
});

test("Envoy and agent start from the cache without a control plane; a newer version is in Envoy within 2 s of its return", async () => {
  const [port = 0] = await freePorts(1);
  const url = `http://127.0.0.1:${String(port)}/`;
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, [clusterResource("a", "1")]);
  controlPlane.set(listener, [listenerResource("web", port, "v1")]);
  const run = async (work: () => Promise<void>): Promise<void> => {
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const source = { socketPath: under.socketPath };
    await using _envoy = await startAdsEnvoy({ directory: under.directory, source, delta: true });
    await work();
  };
  const untilBody = (body: string, withinMs: number): Promise<void> =>
    eventually(
      async () => {
        expect(await (await fetch(url, { headers: { connection: "close" } })).text()).toBe(body);
      },
      { withinMs },
    );
  let normalMs = performance.now();
  await run(async () => {
    await untilBody("v1", 5_000);
    normalMs = performance.now() - normalMs;
    await eventually(
      async () => {
        expect((await recordNames(directory.path)).some((name) => name.startsWith("lds."))).toBe(true);
      },
      { withinMs: 1_000 },
    );
  });
  await controlPlane.kill();
  const startMs = performance.now();
  await run(async () => {
    await untilBody("v1", 5_000);
    expect(performance.now() - startMs).toBeLessThan(normalMs + 1_000);
    controlPlane.set(listener, [listenerResource("web", port, "v2")]);
    await controlPlane.listen(controlPlane.port);
    await untilBody("v2", 2_000);
  });
});

describe("no file stays open", () => {
  const openBelow = async (directory: string): Promise<readonly string[]> => {
    const descriptors = await readdir("/proc/self/fd");
    const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
    return targets.filter((target) => target.startsWith(directory));
  };
  const head = { format: 1, api: "v3", nodeId: "n", typeUrl: cluster, protocol: "sotw", savedAtMs: 0 } as const;

  test("when a record is discarded while its file is being opened", async () => {
    await using directory = await temporaryDirectory();
    const record = new PendingRecord(
      join(directory.path, "a.part"),
      { ...head, isWhole: true },
      testBudgets().of("xds-cache-bytes"),
    );
    const adding = record.add(Buffer.from("first"));
    await Promise.all([adding, record.discard(), record.add(Buffer.from("too late"))]);
    expect(await openBelow(directory.path)).toEqual([]);
    expect(await recordNames(directory.path)).toEqual([]);
  });

  test("for a response that Envoy skips for a later one", async () => {
    await using directory = await temporaryDirectory();
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port], withCache(directory.path));
    const client = await under.open("sotw");
    controlPlane.set(cluster, [named("a")]);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await client.next();
    controlPlane.set(cluster, [named("b")]);
    await client.ack(await client.next());
    await eventually(
      async () => {
        expect(await recordNames(directory.path)).toEqual([expect.stringMatching(/^cds\.\d+\.[0-9a-f]+$/)]);
        expect(await openBelow(directory.path)).toEqual([]);
      },
      { withinMs: 2_000 },
    );
  });
});
