// SPDX-License-Identifier: Apache-2.0
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ServerCredentials, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { FakeControlPlane, type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { startCuttingRelay } from "../../fakes/cutting-relay.ts";
import { eventually } from "../../support/eventually.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { envoyNode, startProxy } from "../../support/xds-proxy-pair.ts";

const { cluster, listener } = typeUrls;

function named(name: string, version = "1"): FakeResource {
  return { name, version, value: textField(1, name) };
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("7.1.6: a restarted control plane gets the client's subscriptions and versions; the client's stream stays open", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a"), named("b")]);
    controlPlane.set(listener, [named("l")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const first = await client.next();
    await client.ack(first);
    await client.send({ typeUrl: listener, subscribe: ["l"] });
    await client.ack(await client.next(), ["l"]);
    await controlPlane.kill();
    const before = controlPlane.requests.length;
    controlPlane.set(cluster, [named("a"), named("c")]);
    await controlPlane.listen(controlPlane.port);
    const again = await client.next();
    expect(again.typeUrl).toBe(cluster);
    expect(again.resources.map(({ name }) => name)).toEqual(protocol === "sotw" ? ["a", "c"] : ["c"]);
    expect(again.removed).toEqual(protocol === "sotw" ? [] : ["b"]);
    const replayed = controlPlane.requests.slice(before).map(({ request }) => request);
    expect(replayed.map(({ typeUrl, responseNonce }) => [typeUrl, responseNonce])).toEqual([
      [cluster, ""],
      [listener, ""],
    ]);
    expect(replayed.map(({ node }) => node?.id)).toEqual(["sidecar~10.0.0.1~a.b~b.svc", undefined]);
    expect(replayed[0]).toMatchObject(
      protocol === "sotw" ? { versionInfo: first.version } : { initialResourceVersions: { a: "1", b: "1" } },
    );
    expect(replayed[1]).toMatchObject(
      protocol === "sotw"
        ? { resourceNames: ["l"] }
        : { resourceNamesSubscribe: ["l"], initialResourceVersions: { l: "1" } },
    );
  });

  test.each([
    ["1 MB", "is not seen by the client", 1_000_000],
    ["6 MB", "ends the client's stream, since its first part has gone out", 6_000_000],
  ])("a control plane that dies inside a response of %s: the received part %s", async (_size, _outcome, bytes) => {
    await using controlPlane = await startFakeControlPlane();
    await using relay = await startCuttingRelay(controlPlane.port);
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([relay.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await client.ack(await client.next());
    relay.cutAfterBytes = Math.round(bytes / 2);
    controlPlane.set(cluster, [{ name: "b", version: "1", value: Buffer.alloc(bytes, 7) }]);
    if (bytes > 4 * 1024 * 1024) {
      await expect(client.next()).rejects.toThrow();
      return;
    }
    await eventually(
      () => {
        expect(controlPlane.streamsOpened).toBe(2);
      },
      { withinMs: 3_000 },
    );
    const [resource] = (await client.next()).resources;
    expect(resource?.any.length).toBeGreaterThan(bytes);
  });

  test("an ACK that comes after the control plane is lost is not sent to the next one", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    const first = await client.next();
    await controlPlane.kill();
    await controlPlane.listen(controlPlane.port);
    const second = await client.next();
    await client.ack(first);
    await client.ack(second);
    await eventually(
      () => {
        expect(controlPlane.requests.at(-1)?.request.responseNonce).toBe(second.nonce);
      },
      { withinMs: 1_000 },
    );
    const ofLast = controlPlane.requests.filter(({ stream }) => stream === controlPlane.streamsOpened);
    expect(ofLast.map(({ request }) => request.responseNonce)).toEqual(["", second.nonce]);
  });

  test("a subscription that is added during an outage is sent afterwards", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    controlPlane.set(listener, [named("l"), named("m")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await client.ack(await client.next());
    await controlPlane.kill();
    await client.send({ typeUrl: listener, subscribe: ["m"] });
    await controlPlane.listen(controlPlane.port);
    const responses = [await client.next(), await client.next()];
    const listeners = responses.find(({ typeUrl }) => typeUrl === listener);
    expect(listeners?.resources.map(({ name }) => name)).toEqual(["m"]);
  });

  test("a stream that the control plane fails or closes is reopened; the client's stream stays", async () => {
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    await client.ack(await client.next());
    controlPlane.fail(status.PERMISSION_DENIED, "bye");
    await client.next();
    controlPlane.end();
    await client.next();
    expect(under.metrics.upstreamTerminations.value("error")).toBe(1);
    expect(under.records.filter(({ fields }) => fields["status"] === "PERMISSION_DENIED")).toHaveLength(1);
  });

  test("a control plane that closes each stream before it responds is reported once", async () => {
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster, node: envoyNode });
    for (let streams = 1; streams <= 3; streams++) {
      await eventually(
        () => {
          expect(controlPlane.seen(cluster)).toHaveLength(streams);
        },
        { withinMs: 3_000 },
      );
      controlPlane.end();
    }
    const warnings = under.records.filter(({ level }) => level === "warn").map(({ message }) => message);
    expect(warnings).toEqual(["control plane closes each stream before its first response; retrying"]);
  });

  test("the first reachable address is used", async () => {
    await using gone = await startFakeControlPlane();
    await gone.kill();
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [named("a")]);
    await using under = await startProxy([gone.port, controlPlane.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: cluster });
    await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
  });
});

test("fifty restarts of the control plane leave the client's stream open and current each time", async () => {
  const controlPlane = new FakeControlPlane();
  await controlPlane.listen();
  controlPlane.set(cluster, [named("v0")]);
  await using under = await startProxy([controlPlane.port]);
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode });
  await client.ack(await client.next());
  for (let round = 1; round <= 50; round++) {
    await controlPlane.kill();
    controlPlane.set(cluster, [named(`v${String(round)}`)]);
    await controlPlane.listen(controlPlane.port);
    const response = await client.next();
    expect(response).toMatchObject({ resources: [{ name: `v${String(round)}` }], removed: [`v${String(round - 1)}`] });
    await client.ack(response);
  }
  await controlPlane.kill();
});

test("7.1.10: a wrong root certificate is logged; after its replacement the next attempt succeeds without a restart", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/istio-system/sa/istiod,IP:127.0.0.1");
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  await using controlPlane = await startFakeControlPlane(ServerCredentials.createSsl(null, [pair]));
  controlPlane.set(cluster, [named("a")]);
  await using wrongDirectory = await temporaryDirectory();
  const wrong = await createOpensslPki(wrongDirectory.path);
  const rootPath = join(directory.path, "xds-root.pem");
  await writeFile(rootPath, wrong.rootPem);
  const security = {
    kind: "tls",
    serverName: "127.0.0.1",
    roots: { kind: "file", path: rootPath },
    client: undefined,
    policy: "default",
  } as const;
  const backoff = { firstMs: 60_000, factor: 1, maxMs: 60_000, idleMaxMs: 60_000 };
  await using under = await startProxy([controlPlane.port], { upstream: { security, backoff } });
  const client = await under.open("sotw");
  await client.send({ typeUrl: cluster });
  await eventually(
    () => {
      expect(under.metrics.connectionFailures.value()).toBe(1);
    },
    { withinMs: 2_000 },
  );
  await writeFile(`${rootPath}.new`, pki.rootPem);
  await rename(`${rootPath}.new`, rootPath);
  await expect(client.next()).resolves.toMatchObject({ typeUrl: cluster });
  expect(under.metrics.connectionFailures.value()).toBe(1);
});
