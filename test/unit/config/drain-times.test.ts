// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";

const parse = (env: Readonly<Record<string, string>>) => parseConfig(testInput({ env: { ...podEnv, ...env } }));

test("times of the drain that are negative are warned about, and count as 0", () => {
  const env = {
    ATTACHE_TERMINATION_GRACE: "-1",
    ATTACHE_DRAIN_JITTER: "-2s",
    MINIMUM_DRAIN_DURATION: "-3s",
    PROXY_CONFIG: '{"terminationDrainDuration":"-4s"}',
  };
  const { envoy, warnings } = parse(env);
  expect(envoy.drain).toMatchObject({ periodMs: 0, minimumMs: 0, jitterMs: 0 });
  const sources = warnings.map(({ source }) => source);
  expect(sources).toEqual(
    expect.arrayContaining([...Object.keys(env).slice(0, 3), "PROXY_CONFIG, field terminationDrainDuration"]),
  );
});

test("a grace period that leaves no time for a drain is warned about", () => {
  const { warnings } = parse({ ATTACHE_TERMINATION_GRACE: "1" });
  expect(warnings).toMatchObject([expect.objectContaining({ source: "ATTACHE_TERMINATION_GRACE" })]);
});
