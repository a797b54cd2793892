// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseEnvoyReadiness, parseInitTargets } from "../../../src/envoy/envoy-readiness.ts";

const updates = [
  "cluster_manager.cds.update_rejected: 1",
  "cluster_manager.cds.update_success: 3",
  "listener_manager.lds.update_success: 2",
  "listener_manager.lds.update_failure: 4",
].join("\n");

test("updates, state and workers are read from Envoy's stats", () => {
  expect(parseEnvoyReadiness(`${updates}\nlistener_manager.workers_started: 1\nserver.state: 0\n`)).toEqual({
    cdsUpdates: 3,
    cdsRejected: 1,
    ldsUpdates: 2,
    ldsRejected: 0,
    cdsFailed: 0,
    ldsFailed: 4,
    state: "LIVE",
    workersStarted: true,
  });
});

test.each([
  ["0", "LIVE"],
  ["1", "DRAINING"],
  ["2", "PRE_INITIALIZING"],
  ["3", "INITIALIZING"],
  ["9", "UNKNOWN"],
])("server.state %s is %s", (number, state) => {
  expect(parseEnvoyReadiness(`server.state: ${number}`).state).toBe(state);
});

test("a stat that is not there yet is undefined, a counter 0", () => {
  expect(parseEnvoyReadiness("")).toEqual({
    cdsUpdates: 0,
    cdsRejected: 0,
    ldsUpdates: 0,
    ldsRejected: 0,
    cdsFailed: 0,
    ldsFailed: 0,
    state: undefined,
    workersStarted: undefined,
  });
});

test("text that is not a number is not a stat, and the first of two lines counts", () => {
  const readiness = parseEnvoyReadiness(
    "cluster_manager.cds.update_success: many\nlistener_manager.lds.update_success: 1\nlistener_manager.lds.update_success: 5\nserver.state: LIVE",
  );
  expect(readiness).toMatchObject({ cdsUpdates: 0, ldsUpdates: 1, state: undefined });
});

test("what Envoy waits for is named once each, without the kind of its wait", () => {
  const dump = {
    unready_targets_dumps: [
      { name: "init manager Listener-local-init-manager 0.0.0.0_15021 123" },
      { name: "init manager Listener-local-init-manager a", target_names: ["shared target SdsApi ROOTCA", "target x"] },
      { name: "init manager Listener-local-init-manager b", target_names: ["shared target SdsApi ROOTCA"] },
    ],
  };
  expect(parseInitTargets(JSON.stringify(dump, undefined, 1))).toEqual(["SdsApi ROOTCA", "x"]);
  expect(parseInitTargets("{}")).toEqual([]);
});
