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

test("B15: a minimum that is longer than the period makes the period longer", () => {
  const { envoy, warnings } = parse({ MINIMUM_DRAIN_DURATION: "12s" });
  expect(envoy.drain).toMatchObject({ periodMs: 12_000, minimumMs: 12_000, endsUncounted: false });
  expect(warnings).toEqual([]);
  expect(parse({ MINIMUM_DRAIN_DURATION: "2h", EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true" }).envoy.drain).toMatchObject({
    periodMs: 7_200_000,
    minimumMs: 7_200_000,
    endsUncounted: true,
  });
});

test("B15: the default minimum does not make a shorter period longer", () => {
  const { envoy } = parse({ PROXY_CONFIG: '{"terminationDrainDuration":"2s"}' });
  expect(envoy.drain).toMatchObject({ periodMs: 2_000, minimumMs: 2_000 });
});

test("B15: a minimum that the grace period cannot hold is cut, with a warning that names both", () => {
  const { envoy, warnings } = parse({ MINIMUM_DRAIN_DURATION: "40s", ATTACHE_TERMINATION_GRACE: "30" });
  expect(envoy.drain).toMatchObject({ periodMs: 28_700, minimumMs: 28_700 });
  const message = "is longer than the 28.7 s that ATTACHE_TERMINATION_GRACE=30 leaves for the drain, which are used";
  expect(warnings).toEqual([{ source: "MINIMUM_DRAIN_DURATION", message }]);
});
