// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { namesIn } from "../../../src/xds/rejections.ts";
import { parseRequest, renderRequest, type XdsProtocol, type XdsRequest } from "../../../src/xds/protocol/request.ts";
import { Subscriptions } from "../../../src/xds/subscriptions.ts";

const typeUrl = "t/x";

function note(subscriptions: Subscriptions, request: Partial<XdsRequest>) {
  const bytes = renderRequest({ typeUrl, ...request }, subscriptions.protocol);
  return subscriptions.note(parseRequest(bytes, subscriptions.protocol), bytes);
}

function response(nonce: string, names: readonly string[] = [], removed: readonly string[] = []) {
  return { typeUrl, version: `v${nonce}`, nonce, resources: names.map((name) => ({ name, version: nonce })), removed };
}

function replayed(subscriptions: Subscriptions) {
  return subscriptions.replay().map(({ bytes }) => parseRequest(bytes, subscriptions.protocol));
}

test("no names in the first request are everything, in a later one nothing: then there is nothing to replay", () => {
  const whole = new Subscriptions("sotw");
  note(whole, {});
  expect(replayed(whole)).toMatchObject([{ typeUrl, subscribe: [] }]);
  const none = new Subscriptions("sotw");
  note(none, { subscribe: ["a"] });
  note(none, { subscribe: [] });
  expect(replayed(none)).toEqual([]);
});

test("delta: subscriptions and versions add up over requests and responses", () => {
  const subscriptions = new Subscriptions("delta");
  note(subscriptions, { subscribe: ["a", "b"], initialVersions: new Map([["a", "0"]]) });
  subscriptions.sent(response("1", ["a", "b"]), true);
  note(subscriptions, { nonce: "1" });
  subscriptions.sent(response("2", ["c"], ["b"]), true);
  note(subscriptions, { nonce: "2", subscribe: ["c"], unsubscribe: ["b"] });
  subscriptions.sent(response("3", ["a"]), true);
  note(subscriptions, { nonce: "3", error: { code: 13, message: "no" } });
  const [request] = replayed(subscriptions);
  expect(request?.subscribe).toEqual(["a", "c"]);
  expect(Object.fromEntries(request?.initialVersions ?? [])).toEqual({ a: "1", c: "2" });
});

test("delta: everything, with names beside it, stays both", () => {
  const subscriptions = new Subscriptions("delta");
  note(subscriptions, {});
  note(subscriptions, { subscribe: ["on-demand"] });
  expect(replayed(subscriptions)[0]?.subscribe).toEqual(["*", "on-demand"]);
  note(subscriptions, { unsubscribe: ["*"] });
  expect(replayed(subscriptions)[0]?.subscribe).toEqual(["on-demand"]);
  note(subscriptions, { unsubscribe: ["on-demand"] });
  expect(replayed(subscriptions)).toEqual([]);
});

test.each(["sotw", "delta"] satisfies XdsProtocol[])(
  "%s: nonces of a control plane that is gone are not shown to the next",
  (protocol) => {
    const subscriptions = new Subscriptions(protocol);
    note(subscriptions, { subscribe: ["a"] });
    subscriptions.sent(response("old"), true);
    subscriptions.replay();
    expect(note(subscriptions, { nonce: "old", subscribe: protocol === "sotw" ? ["a"] : [] }).forward).toBeUndefined();
    subscriptions.sent(response("new"), true);
    const { forward } = note(subscriptions, { nonce: "old", subscribe: ["a", "b"] });
    expect(parseRequest(forward ?? new Uint8Array(0), protocol)).toMatchObject({
      nonce: protocol === "sotw" ? "new" : "",
      subscribe: ["a", "b"],
    });
  },
);

test("a verdict is passed once, also when the nonce is used again to change names", () => {
  const subscriptions = new Subscriptions("sotw");
  note(subscriptions, { subscribe: ["a"] });
  subscriptions.sent(response("1"), true);
  expect(note(subscriptions, { nonce: "1", version: "v1", subscribe: ["a"] }).verdict?.kind).toBe("accepted");
  const again = note(subscriptions, { nonce: "1", version: "v1", subscribe: ["a", "b"] });
  expect(again.verdict).toBeUndefined();
  expect(again.forward).toBeDefined();
  expect(subscriptions.versionInUse(typeUrl)).toBe("v1");
});

test("a NACK is about the resources that its text names, or all of a small response", () => {
  const text = "Error adding/updating cluster(s) bad-2: no such thing";
  expect(namesIn(text, ["bad", "bad-2", "good"])).toEqual(["bad-2"]);
  expect(namesIn(text, [])).toEqual(["bad-2"]);
  expect(namesIn("malformed", ["one"])).toEqual(["one"]);
  expect(namesIn("malformed", ["1", "2", "3", "4", "5", "6"])).toEqual([]);
});

test("a response that Envoy skipped for a later one of its type is forgotten with it", () => {
  const subscriptions = new Subscriptions("sotw");
  note(subscriptions, {});
  note(subscriptions, { typeUrl: "t/y" });
  subscriptions.sent(response("1"), true);
  subscriptions.sent({ ...response("y"), typeUrl: "t/y" }, true);
  subscriptions.sent(response("2"), true);
  expect(note(subscriptions, { nonce: "2", version: "v2" }).verdict?.response.nonce).toBe("2");
  const late = note(subscriptions, { nonce: "1", version: "v1" });
  expect(late).toEqual({ forward: undefined, verdict: undefined, isChanged: false });
  expect(note(subscriptions, { typeUrl: "t/y", nonce: "y", version: "vy" }).verdict?.kind).toBe("accepted");
});
