// SPDX-License-Identifier: Apache-2.0
import { afterAll, expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import type { NamedService } from "../../src/model/name-table.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { dnsEnvironment } from "../support/dns-environment.ts";
import { ask } from "../support/dns-client.ts";
import { encodeQuery } from "../support/dns-messages.ts";
import { eventually } from "../support/eventually.ts";
import { makeMemoryGroup } from "../support/control-group.ts";
import { kubernetes, nameTableResource } from "../support/name-tables.ts";
import { startPod } from "../support/pod.ts";

const limit = makeMemoryGroup(96 * 2 ** 20);
afterAll(() => {
  limit?.[Symbol.dispose]();
});

function* services(version: number): Generator<NamedService> {
  for (let index = 0; index < 100_000; index++) {
    const number = [0, 1, 2, 3, 4].map((of) => index * 5 + of);
    const addresses = number.map(
      (n) => `${String(version)}.${String(n >> 16)}.${String((n >> 8) & 255)}.${String(n & 255)}`,
    );
    yield kubernetes(`service-${String(index)}`, `namespace-${String(index % 100)}`, addresses);
  }
}

test.runIf(limit !== undefined)(
  "a pod of 96 MiB is ready with a name table of 100,000 services and 500,000 addresses, and takes the next versions",
  { timeout: 90_000 },
  async () => {
    await using ca = await startFakeCa();
    await using controlPlane = await startFakeControlPlane();
    for (const typeUrl of [typeUrls.listener, typeUrls.cluster]) controlPlane.set(typeUrl, []);
    controlPlane.set(typeUrls.nameTable, [nameTableResource([...services(1)], "1")]);
    const env = { ATTACHE_XDS_FILES: "", ...(await dnsEnvironment()) };
    const proxyConfig = {
      discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`,
      controlPlaneAuthPolicy: "NONE",
    };
    await using pod = await startPod({ ca, env, proxyConfig, launcher: limit?.launcher ?? [] });
    const server = { host: "127.0.0.1", port: Number(env.DNS_PROXY_ADDR.split(":")[1]) };
    const untilVersion = (version: number) =>
      eventually(
        async () => {
          const { answers } = await ask(server, "udp", encodeQuery("service-99999.namespace-99.svc"));
          expect(answers.map(({ data }) => data.split(".")[0])).toEqual(
            Array.from({ length: 5 }, () => String(version)),
          );
        },
        { withinMs: 30_000 },
      );
    await untilVersion(1);
    await pod.untilReady();
    for (const version of [2, 3]) {
      controlPlane.set(typeUrls.nameTable, [nameTableResource([...services(version)], String(version))]);
      await untilVersion(version);
    }
    expect((await pod.readiness()).status).toBe(200);
    expect(controlPlane.streamsOpened).toBe(1);
  },
);
