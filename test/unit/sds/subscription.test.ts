// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { SubscriptionDriver } from "./subscription-driver.ts";

const both = { default: "1", ROOTCA: "2" };

describe("state of the world", () => {
  test("A1: one response for default, then silence", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.ask(["default"])).toEqual(["default@1"]);
    expect(stream.ask(["default"], { nonce: stream.lastNonce })).toEqual([]);
    expect(stream.reports).toEqual(["accepted"]);
  });

  test("A2: a name added with the last nonce gets a response of its own", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    const nonce = stream.lastNonce;
    stream.ask(["default"], { nonce });
    expect(stream.ask(["default", "ROOTCA"], { nonce })).toEqual(["ROOTCA@2"]);
  });

  test("A3: ROOTCA first, then default on the same stream: one response each", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.ask(["ROOTCA"])).toEqual(["ROOTCA@2"]);
    expect(stream.ask(["ROOTCA", "default"], { nonce: stream.lastNonce })).toEqual(["default@1"]);
  });

  test("A4: two requests for a name without a nonce get two responses", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.ask(["default"])).toEqual(["default@1"]);
    expect(stream.ask(["default"])).toEqual(["default@1"]);
  });

  test("A5: two streams know nothing of each other", () => {
    const first = new SubscriptionDriver(both);
    const second = new SubscriptionDriver(both);
    expect(first.ask(["default"])).toEqual(["default@1"]);
    expect(second.ask(["ROOTCA"])).toEqual(["ROOTCA@2"]);
    expect(first.change("ROOTCA", "3")).toEqual([]);
  });

  test("A6, A7: a name without a secret gets its response later, and the stream stays open", () => {
    const stream = new SubscriptionDriver({ ROOTCA: "2" });
    expect(stream.ask(["default", "ROOTCA"])).toEqual(["ROOTCA@2"]);
    expect(stream.end).toBeUndefined();
    expect(stream.ask(["default", "ROOTCA"], { nonce: stream.lastNonce })).toEqual([]);
    expect(stream.change("default", "3")).toEqual(["default@3"]);
  });

  test("a pending name gets a response too when the client requests it again without a nonce", () => {
    const stream = new SubscriptionDriver();
    expect(stream.ask(["default"])).toEqual([]);
    expect(stream.ask(["default"], { nonce: "of-an-earlier-server" })).toEqual([]);
    expect(stream.reports).toEqual([]);
    expect(stream.change("default", "1")).toEqual(["default@1"]);
  });

  test("A8: a push goes only to streams that subscribe to the name", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["ROOTCA"]);
    expect(stream.change("default", "3")).toEqual([]);
    expect(stream.change("ROOTCA", "4")).toEqual(["ROOTCA@4"]);
  });

  test("the same content is not pushed again", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    expect(stream.change("default", "1")).toEqual([]);
  });

  test("A9: nonce and version of an earlier server get a full response", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.ask(["default", "ROOTCA"], { nonce: "of-an-earlier-server" })).toEqual(["default@1", "ROOTCA@2"]);
  });

  test("A11: no names after a response: silence, and no later push", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    expect(stream.ask([], { nonce: stream.lastNonce })).toEqual([]);
    expect(stream.lastStep?.removed.map((name) => name.text)).toEqual(["default"]);
    expect(stream.change("default", "3")).toEqual([]);
    expect(stream.ask(["default"], { nonce: stream.lastNonce })).toEqual(["default@3"]);
  });

  test("A12: a NACK gets silence; the next content is pushed", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    expect(stream.ask(["default"], { nonce: stream.lastNonce, rejection: "bad key" })).toEqual([]);
    expect(stream.reports).toEqual(["rejected"]);
    expect(stream.change("default", "3")).toEqual(["default@3"]);
  });

  test.each([
    ["with names", ["default"]],
    ["without names", []],
  ])("A12: a NACK as the first message, %s, gets silence and the stream works on", (_title, names) => {
    const stream = new SubscriptionDriver(both);
    expect(stream.ask(names, { nonce: "of-an-earlier-server", rejection: "bad key" })).toEqual([]);
    expect(stream.end).toBeUndefined();
    expect(stream.ask(["default"])).toEqual(["default@1"]);
  });

  test("A12: a NACK after everything was unsubscribed gets silence", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    stream.ask([]);
    expect(stream.ask(["default"], { nonce: stream.lastNonce, rejection: "bad key" })).toEqual([]);
    expect(stream.end).toBeUndefined();
  });

  test("names in a NACK of the last response are not lost", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    expect(stream.ask(["default", "ROOTCA"], { nonce: stream.lastNonce, rejection: "bad key" })).toEqual(["ROOTCA@2"]);
  });

  test("A13: a stale nonce gets silence and changes nothing", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    const stale = stream.lastNonce;
    stream.change("default", "3");
    expect(stream.ask(["default", "ROOTCA"], { nonce: stale })).toEqual([]);
    expect(stream.reports).toEqual(["accepted", "stale-nonce"]);
    expect(stream.ask(["default"], { nonce: "never sent" })).toEqual([]);
    expect(stream.reports).toEqual(["stale-nonce"]);
    expect(stream.change("ROOTCA", "4")).toEqual([]);
  });

  test("A14: the first message needs a node, later ones do not", () => {
    const without = new SubscriptionDriver(both);
    expect(without.ask(["default"], { nodeId: "" })).toEqual([]);
    expect(without.end).toEqual({ kind: "no-node" });
    const stream = new SubscriptionDriver(both);
    stream.ask(["default"]);
    expect(stream.ask(["default"], { nodeId: "" })).toEqual(["default@1"]);
  });

  test("A16: an unknown name ends the stream, and nothing is sent for the others either", () => {
    const stream = new SubscriptionDriver({ ...both, defualt: "9" });
    expect(stream.ask(["default", "defualt"])).toEqual([]);
    expect(stream.end).toMatchObject({ kind: "rejected-name", error: { problem: "unknown" } });
    expect(stream.ask(["default"])).toEqual([]);
    expect(stream.change("default", "3")).toEqual([]);
  });

  test("changes that come together go in one message, the newest of each", () => {
    const stream = new SubscriptionDriver(both);
    stream.ask(["default", "ROOTCA"]);
    stream.subscription.offer("default", { version: "3" });
    stream.subscription.offer("ROOTCA", { version: "4" });
    expect(stream.change("default", "5")).toEqual(["default@5", "ROOTCA@4"]);
  });

  test("a stream cannot make the server remember names without end", () => {
    const stream = new SubscriptionDriver();
    stream.ask(Array.from({ length: 300 }, (_, index) => `file-root:/certs/${String(index)}.pem`));
    expect(stream.end).toEqual({ kind: "too-many-names", problem: "limit sds-names of 256 items is reached" });
  });
});

describe("delta", () => {
  test("names come and go one by one", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.askDelta({ subscribe: ["default"] })).toEqual(["default@1"]);
    expect(stream.askDelta({ nonce: stream.lastNonce, subscribe: ["ROOTCA"] })).toEqual(["ROOTCA@2"]);
    expect(stream.reports).toEqual(["accepted"]);
    expect(stream.askDelta({ unsubscribe: ["default"] })).toEqual([]);
    expect(stream.change("default", "3")).toEqual([]);
    expect(stream.change("ROOTCA", "4")).toEqual(["ROOTCA@4"]);
  });

  test("a version that the client still has is not sent again", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.askDelta({ subscribe: ["default", "ROOTCA"], initial: { default: "1", ROOTCA: "0" } })).toEqual([
      "ROOTCA@2",
    ]);
    expect(stream.change("default", "3")).toEqual(["default@3"]);
  });

  test("a name that is subscribed again is sent again", () => {
    const stream = new SubscriptionDriver(both);
    stream.askDelta({ subscribe: ["default"] });
    expect(stream.askDelta({ nonce: stream.lastNonce, subscribe: ["default"] })).toEqual(["default@1"]);
    expect(stream.askDelta({ subscribe: ["default"], unsubscribe: ["default"] })).toEqual(["default@1"]);
  });

  test("a NACK gets silence, also as the first message and for a nonce never sent", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.askDelta({ nonce: "x", rejection: "bad" })).toEqual([]);
    expect(stream.end).toBeUndefined();
    stream.askDelta({ subscribe: ["default"] });
    expect(stream.askDelta({ nonce: stream.lastNonce, rejection: "bad" })).toEqual([]);
    expect(stream.reports).toEqual(["rejected"]);
    expect(stream.askDelta({ nonce: "never sent", rejection: "bad" })).toEqual([]);
    expect(stream.reports).toEqual(["rejected", "stale-nonce"]);
  });

  test("a name without a secret gets its response later", () => {
    const stream = new SubscriptionDriver();
    expect(stream.askDelta({ subscribe: ["default"] })).toEqual([]);
    expect(stream.change("default", "1")).toEqual(["default@1"]);
  });

  test("the wildcard is no name", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.askDelta({ subscribe: ["*"] })).toEqual([]);
    expect(stream.end).toMatchObject({ kind: "rejected-name" });
  });
});

describe("settled", () => {
  test("when the newest was sent and heard of, or is not wanted", () => {
    const stream = new SubscriptionDriver(both);
    expect(stream.subscription.isSettled("ROOTCA")).toBe(true);
    stream.ask(["ROOTCA"]);
    expect(stream.subscription.isSettled("ROOTCA")).toBe(false);
    stream.ask(["ROOTCA"], { nonce: stream.lastNonce });
    expect(stream.subscription.isSettled("ROOTCA")).toBe(true);
    stream.subscription.offer("ROOTCA", { version: "7" });
    expect(stream.subscription.isSettled("ROOTCA")).toBe(false);
    stream.ask([]);
    expect(stream.subscription.isSettled("ROOTCA")).toBe(true);
  });
});
