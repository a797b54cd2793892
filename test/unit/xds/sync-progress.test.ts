// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { SyncProgress } from "../../../src/xds/sync-progress.ts";

const typeUrl = "t/x";

function startProgress() {
  let nowMs = 0;
  const progress = new SyncProgress(() => nowMs);
  return {
    progress,
    at: (ms: number) => {
      nowMs = ms;
      return progress;
    },
  };
}

const response = (version: string) => ({ typeUrl, version, nonce: `n${version}` });

test("a type is NOT SENT, then STALE until its last response is acknowledged, then SYNCED", () => {
  const { progress, at } = startProgress();
  expect(progress.of(typeUrl)).toMatchObject({ state: "NOT SENT", versionAccepted: "", lastSentAtMs: undefined });
  at(1).sent({ ...response("1"), resourceCount: 3 });
  expect(progress.of(typeUrl)).toMatchObject({ state: "STALE", versionSent: "1", resourceCount: 3 });
  at(2).sent(response("2"));
  at(3).acknowledged(response("1"), true);
  expect(progress.of(typeUrl)).toMatchObject({ state: "STALE", versionSent: "2", versionAccepted: "1" });
  at(4).acknowledged(response("2"), true);
  expect(progress.of(typeUrl)).toMatchObject({
    state: "SYNCED",
    versionSent: "2",
    versionAccepted: "2",
    lastSentAtMs: 2,
    lastAckedAtMs: 4,
  });
});

test("a rejected response leaves the version in use, and the next accepted one ends it", () => {
  const { progress, at } = startProgress();
  at(1).sent(response("1"));
  at(1).acknowledged(response("1"), true);
  at(2).sent(response("2"));
  at(2).acknowledged(response("2"), false);
  expect(progress.of(typeUrl)).toMatchObject({ state: "NACKED", versionSent: "2", versionAccepted: "1" });
  at(3).sent(response("3"));
  at(3).acknowledged(response("3"), true);
  expect(progress.of(typeUrl)).toMatchObject({ state: "SYNCED", versionAccepted: "3", lastAckedAtMs: 3 });
});

test("a version as long as a peer makes it is kept in part only", () => {
  const { progress } = startProgress();
  progress.sent(response("v".repeat(100_000)));
  progress.acknowledged(response("v".repeat(100_000)), true);
  expect(progress.of(typeUrl).versionAccepted.length).toBeLessThan(1_000);
});
