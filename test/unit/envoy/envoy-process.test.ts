// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { epochArgs } from "../../../src/envoy/envoy-process.ts";

const args = ["-c", "envoy.json", "--disable-hot-restart", "--concurrency", "2"];

test("an epoch's arguments name it and its family", () => {
  expect(epochArgs(args, { baseId: 7, liveWithinMs: 10_000, parentShutdownMs: 1_500 }, 3)).toEqual([
    ...["-c", "envoy.json", "--concurrency", "2"],
    ...["--restart-epoch", "3", "--base-id", "7", "--parent-shutdown-time-s", "2"],
  ]);
});
