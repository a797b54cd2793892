// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startPod, untilRotated } from "../support/pod.ts";

test("A3: POST /rotate and SIGUSR2 renew at once, and Envoy has the new certificate", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  let before = await pod.serials();
  const rotate = `http://127.0.0.1:${String(pod.ports.status)}/rotate`;
  expect((await fetch(rotate, { method: "POST" })).status).toBe(200);
  await untilRotated(pod, before);
  before = await pod.serials();
  pod.kill("SIGUSR2");
  await untilRotated(pod, before);
  expect(ca.calls).toHaveLength(3);
});
