// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startPod } from "../support/pod.ts";

test("25: without Envoy at the default path, the one that npm start installed is used, and the log says so", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, proxyConfig: { binaryPath: undefined } });
  await pod.untilReady();
  const isImage = existsSync("/usr/local/bin/envoy");
  const said = /there is no Envoy at \/usr\/local\/bin\/envoy; using the one that `npm start` installed: \/\S+\/envoy/;
  expect(said.test(pod.log())).toBe(!isImage);
});

test("25: a path that is set and has no Envoy is an error that says how to set it", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, proxyConfig: { binaryPath: "./no/envoy" } });
  expect((await pod.exited).code).toBe(69);
  const advice = `run Envoy at ./no/envoy: there is no such file; install Envoy there, or set its path: PROXY_CONFIG='{"binaryPath":`;
  expect(pod.log()).toContain(advice);
});
