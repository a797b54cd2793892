// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { runSteps } from "../../../src/lib/async/time-slice.ts";
import { testBudgets } from "../../support/budgets.ts";
import { namesIn } from "../../../src/xds/rejections.ts";
import { parseRequest, renderRequest, type XdsProtocol, type XdsRequest } from "../../../src/xds/protocol/request.ts";
import { Subscriptions } from "../../../src/xds/subscriptions.ts";

const typeUrl = "t/x";

function createSubscriptions(protocol: XdsProtocol, budgets = testBudgets()): Subscriptions {
  const [namesBytes, sentResponses] = [budgets.of("xds-names-bytes"), budgets.of("xds-sent-responses")];
  return new Subscriptions(protocol, { namesBytes, sentResponses });
}

function send(subscriptions: Subscriptions, request: Partial<XdsRequest>) {
  const bytes = renderRequest({ typeUrl, ...request }, subscriptions.protocol);
  return runSteps(subscriptions.apply(parseRequest(bytes, subscriptions.protocol), bytes));
}

function response(nonce: string, names: readonly string[] = [], removed: readonly string[] = []) {
  return { typeUrl, version: `v${nonce}`, nonce, resources: names.map((name) => ({ name, version: nonce })), removed };
}

function replayed(subscriptions: Subscriptions) {
  return runSteps(subscriptions.replay()).map(({ bytes }) => parseRequest(bytes, subscriptions.protocol));
}

test("no names mean all resources in the first request, and none in a later one: then there is nothing to replay", () => {
  const whole = createSubscriptions("sotw");
  send(whole, {});
  expect(replayed(whole)).toMatchObject([{ typeUrl, subscribe: [] }]);
  const none = createSubscriptions("sotw");
  send(none, { subscribe: ["a"] });
  send(none, { subscribe: [] });
  expect(replayed(none)).toEqual([]);
});

test("delta: subscriptions and versions add up over requests and responses", () => {
  const subscriptions = createSubscriptions("delta");
  send(subscriptions, { subscribe: ["a", "b"], initialVersions: new Map([["a", "0"]]) });
  subscriptions.sent(response("1", ["a", "b"]), true);
  send(subscriptions, { nonce: "1" });
  subscriptions.sent(response("2", ["c"], ["b"]), true);
  send(subscriptions, { nonce: "2", subscribe: ["c"], unsubscribe: ["b"] });
  subscriptions.sent(response("3", ["a"]), true);
  send(subscriptions, { nonce: "3", error: { code: 13, message: "no" } });
  const [request] = replayed(subscriptions);
  expect(request?.subscribe).toEqual(["a", "c"]);
  expect(Object.fromEntries(request?.initialVersions ?? [])).toEqual({ a: "1", c: "2" });
});

test("delta: a wildcard subscription with names beside it keeps both", () => {
  const subscriptions = createSubscriptions("delta");
  send(subscriptions, {});
  send(subscriptions, { subscribe: ["on-demand"] });
  expect(replayed(subscriptions)[0]?.subscribe).toEqual(["*", "on-demand"]);
  send(subscriptions, { unsubscribe: ["*"] });
  expect(replayed(subscriptions)[0]?.subscribe).toEqual(["on-demand"]);
  send(subscriptions, { unsubscribe: ["on-demand"] });
  expect(replayed(subscriptions)).toEqual([]);
});

test.each(["sotw", "delta"] satisfies XdsProtocol[])(
  "%s: nonces of a lost control plane are not sent to the next one",
  (protocol) => {
    const subscriptions = createSubscriptions(protocol);
    send(subscriptions, { subscribe: ["a"] });
    subscriptions.sent(response("old"), true);
    runSteps(subscriptions.replay());
    expect(send(subscriptions, { nonce: "old", subscribe: protocol === "sotw" ? ["a"] : [] }).forward).toBeUndefined();
    subscriptions.sent(response("new"), true);
    const { forward } = send(subscriptions, { nonce: "old", subscribe: ["a", "b"] });
    expect(parseRequest(forward ?? new Uint8Array(0), protocol)).toMatchObject({
      nonce: protocol === "sotw" ? "new" : "",
      subscribe: ["a", "b"],
    });
  },
);

test("a response is acknowledged once, also when its nonce is used again to change names", () => {
  const subscriptions = createSubscriptions("sotw");
  send(subscriptions, { subscribe: ["a"] });
  subscriptions.sent(response("1"), true);
  expect(send(subscriptions, { nonce: "1", version: "v1", subscribe: ["a"] }).acknowledgement?.kind).toBe("ack");
  const again = send(subscriptions, { nonce: "1", version: "v1", subscribe: ["a", "b"] });
  expect(again.acknowledgement).toBeUndefined();
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
  const subscriptions = createSubscriptions("sotw");
  send(subscriptions, {});
  send(subscriptions, { typeUrl: "t/y" });
  subscriptions.sent(response("1"), true);
  subscriptions.sent({ ...response("y"), typeUrl: "t/y" }, true);
  subscriptions.sent(response("2"), true);
  expect(send(subscriptions, { nonce: "2", version: "v2" }).acknowledgement?.response.nonce).toBe("2");
  const late = send(subscriptions, { nonce: "1", version: "v1" });
  expect(late).toEqual({ forward: undefined, acknowledgement: undefined, isChanged: false });
  expect(send(subscriptions, { typeUrl: "t/y", nonce: "y", version: "vy" }).acknowledgement?.kind).toBe("ack");
});

test("types, versions and nonces of any length count as the names do, and are given back", () => {
  const budgets = testBudgets();
  const subscriptions = createSubscriptions("delta", budgets);
  const long = "l".repeat(10_000);
  const used = (): number => budgets.of("xds-names-bytes").used;
  send(subscriptions, { typeUrl: long });
  expect(used()).toBeGreaterThan(10_000);
  const before = used();
  const sent = { typeUrl: long, version: long, nonce: long, resources: [], removed: [] };
  subscriptions.sent(sent, true);
  expect(used() - before).toBeGreaterThan(40_000);
  subscriptions.sent({ ...sent, nonce: "short" }, true);
  send(subscriptions, { typeUrl: long, nonce: "short" });
  expect(used() - before).toBeLessThan(100);
  subscriptions[Symbol.dispose]();
  expect(used()).toBe(0);
});
