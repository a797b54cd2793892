// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { requestHttp, loopback } from "../../../src/lib/net/http-client.ts";
import { createSdsClient } from "../../../src/sds/sds-client.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { startPod } from "../../support/pod.ts";

const socketOf = (directory: string): string => join(directory, "var/run/secrets/workload-spiffe-uds/socket");

test("a client fetches certificate, key and roots as Envoy does; the debug endpoint has the same without the key", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const { signal } = new AbortController();
  await using client = createSdsClient(socketOf(pod.directory), "test", { clock: systemClock });
  const certificate = await client.fetch("default", signal);
  const roots = await client.fetch("ROOTCA", signal);
  if (certificate.kind !== "certificate" || roots.kind !== "roots") throw new Error("not the secrets of these names");
  const { chainPem, keyPem = "" } = certificate;
  expect(new X509Certificate(chainPem).checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
  const response = await requestHttp({ url: loopback(pod.ports.status, "/debug/identity") });
  expect(JSON.parse(response.text())).toMatchObject({
    chainPem,
    sdsSocketPath: socketOf(pod.directory),
    roots: [{ rootsPem: roots.domains[0]?.rootsPem, isOwn: true }],
    renewal: { state: "valid", source: "ca", attempts: 1, failuresInARow: 0 },
  });
  expect(response.text()).not.toContain("PRIVATE");
  for (const line of keyPem.split("\n").filter((text) => text.length > 20)) expect(response.text()).not.toContain(line);
});

test("a secret that the server does not know is an error with the server's reason", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await using client = createSdsClient(socketOf(pod.directory), "test", { clock: systemClock });
  await expect(client.fetch("other", new AbortController().signal)).rejects.toMatchObject({
    code: "AGENT_GRPC",
    status: 5,
  });
});
