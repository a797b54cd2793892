// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { EditTeller } from "../../../src/dev/edit-teller.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const never = new AbortController().signal;
const routeType = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const change = { file: "/r/web/rds.yaml", typeUrl: routeType, version: "v2", typeVersion: "t2" };
const problem = { file: "/r/web/rds.yaml", line: 7, message: "/r/web/rds.yaml:7: expected a number" };

function startTeller() {
  const inUse = new Set<string>();
  const clock = new FakeClock();
  const admin = {
    usesOneOfEach: (sets: readonly (readonly string[])[]) =>
      Promise.resolve(sets.every((versions) => versions.some((version) => inUse.has(version)))),
  };
  const teller = new EditTeller("web", admin, clock);
  const said: string[] = [];
  const follow = () => teller.follow((text) => said.push(text), never);
  return { teller, inUse, clock, said, follow };
}

test("an edit is in use when Envoy has the version of the resource, or of its type", async () => {
  const { teller, inUse, clock, said, follow } = startTeller();
  await using _following = follow();
  teller.tell({ kind: "applied", changes: [change] });
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

test("what Envoy refuses is told with its words, cut short", async () => {
  const { teller, clock, said, follow } = startTeller();
  await using _following = follow();
  teller.tell({ kind: "applied", changes: [change] });
  teller.tell({ kind: "rejected", rejection: { typeUrl: routeType, reason: `weights\n${"x".repeat(400)}` } });
  await clock.advance(50);
  await eventually(
    () => {
      expect(said).toHaveLength(1);
    },
    { withinMs: 1_000 },
  );
  expect(said[0]).toMatch(/^web\/rds\.yaml: refused by Envoy, which goes on with what it had: weights x+…$/);
});

test("a file that is wrong is told once with its line, also from before anybody listened, and that it was mended", async () => {
  const { teller, said, follow } = startTeller();
  teller.tell({ kind: "refused", problem });
  teller.tell({ kind: "refused", problem });
  await using _following = follow();
  teller.tell({ kind: "applied", changes: [] });
  await eventually(
    () => {
      expect(said).toEqual([
        "web/rds.yaml:7: not used: expected a number; Envoy goes on with what it had",
        "web: mended; Envoy has it already",
      ]);
    },
    { withinMs: 1_000 },
  );
});

test("a refusal without an edit names the type, and a resource that is gone is told", async () => {
  const { teller, said, follow } = startTeller();
  await using _following = follow();
  teller.tell({ kind: "rejected", rejection: { typeUrl: routeType, reason: "weights" } });
  teller.tell({ kind: "applied", changes: [{ ...change, version: undefined }] });
  teller.tell({ kind: "applied", changes: [] });
  await eventually(
    () => {
      expect(said).toEqual(["web: Envoy refused RouteConfiguration: weights", "web/rds.yaml: taken away"]);
    },
    { withinMs: 1_000 },
  );
});
