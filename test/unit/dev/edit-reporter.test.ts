// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { EditReporter } from "../../../src/dev/edit-reporter.ts";
import { ResourceFileError } from "../../../src/xds/embedded/resource-file.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const never = new AbortController().signal;
const routeType = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const change = { file: "/r/web/rds.yaml", typeUrl: routeType, name: "r", version: "v2", typeVersion: "t2" };
const problem = new ResourceFileError("/r/web/rds.yaml", 7, "expected a number");

function startReporter() {
  const inUse = new Set<string>();
  const clock = new FakeClock();
  const admin = {
    usesOneOfEach: (sets: readonly (readonly string[])[]) =>
      Promise.resolve(sets.every((versions) => versions.some((version) => inUse.has(version)))),
  };
  const reporter = new EditReporter("web", admin, clock);
  const said: string[] = [];
  const follow = () => reporter.follow((text) => said.push(text), never);
  return { reporter, inUse, clock, said, follow };
}

test("an edit is in use when Envoy has the version of the resource, or of its type", async () => {
  const { reporter, inUse, clock, said, follow } = startReporter();
  await using _following = follow();
  reporter.add({ kind: "applied", changes: [change] });
  await clock.advance(100);
  expect(said).toEqual([]);
  inUse.add("t2");
  await clock.advance(50);
  await eventually(
    () => {
      expect(said).toEqual(["web/rds.yaml: in use by Envoy after 150 ms"]);
    },
    { withinMs: 1_000 },
  );
});

test("a rejection by Envoy is reported with Envoy's reason, shortened", async () => {
  const { reporter, clock, said, follow } = startReporter();
  await using _following = follow();
  reporter.add({ kind: "applied", changes: [change] });
  reporter.add({ kind: "rejected", rejection: { typeUrl: routeType, reason: `weights\n${"x".repeat(400)}` } });
  await clock.advance(50);
  await eventually(
    () => {
      expect(said).toHaveLength(1);
    },
    { withinMs: 1_000 },
  );
  expect(said[0]).toMatch(/^web\/rds\.yaml: rejected by Envoy, which keeps the previous version: weights x+…$/);
});

test("an invalid file is reported once with its line, also from before the first follower, and that it was fixed", async () => {
  const { reporter, said, follow } = startReporter();
  reporter.add({ kind: "invalid", problem });
  reporter.add({ kind: "invalid", problem });
  await using _following = follow();
  reporter.add({ kind: "applied", changes: [] });
  await eventually(
    () => {
      expect(said).toEqual([
        "web/rds.yaml:7: invalid: expected a number; Envoy keeps the previous version",
        "web: fixed; Envoy already uses this version",
      ]);
    },
    { withinMs: 1_000 },
  );
});

test("a rejection without an edit names the type, and a removed resource is reported", async () => {
  const { reporter, said, follow } = startReporter();
  await using _following = follow();
  reporter.add({ kind: "rejected", rejection: { typeUrl: routeType, reason: "weights" } });
  reporter.add({ kind: "applied", changes: [{ ...change, version: undefined }] });
  reporter.add({ kind: "applied", changes: [] });
  await eventually(
    () => {
      expect(said).toEqual(["web: Envoy rejected RouteConfiguration: weights", "web/rds.yaml: removed"]);
    },
    { withinMs: 1_000 },
  );
});

test("bug 12: a watcher that fails is reported", async () => {
  const { reporter, said, follow } = startReporter();
  await using _following = follow();
  reporter.add({ kind: "watch-failed", error: new Error("no more watches") });
  await eventually(
    () => {
      expect(said).toEqual(["web: edits are seen up to 10 s late: no more watches"]);
    },
    { withinMs: 1_000 },
  );
});
