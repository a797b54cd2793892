// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseInitTargets } from "../../../src/envoy/init-targets.ts";

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
