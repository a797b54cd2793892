// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ExtensionFeed } from "../../../../src/xds/upstream/extension-feed.ts";
import type { ConvertedExtensions, ExtensionUpdate, ProxiedStream } from "../../../../src/xds/proxied-stream.ts";
import { parseRequest, renderRequest } from "../../../../src/xds/protocol/request.ts";
import { parseResponse, renderResponse } from "../../../../src/xds/protocol/response.ts";
import { Subscriptions } from "../../../../src/xds/subscriptions.ts";
import { typeUrls } from "../../../../src/xds/protocol/type-url.ts";
import { runSteps } from "../../../../src/lib/async/time-slice.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";
import { createXdsMetrics } from "../../../support/agent-metrics.ts";

const typeUrl = typeUrls.extension;

/** A client on the socket that reads everything at once. */
function startFeed(canRetry: (version: string) => boolean) {
  const clock = new FakeClock();
  const sent: string[] = [];
  const tried: string[] = [];
  const budgets = testBudgets();
  const subscriptions = new Subscriptions("delta", {
    namesBytes: budgets.of("xds-names-bytes"),
    sentResponses: budgets.of("xds-sent-responses"),
  });
  const client = {
    protocol: "delta",
    context: { clock, random: () => 0.5, log: testLog().log, metrics: createXdsMetrics(), budgets },
    call: {
      write: (bytes: Uint8Array) => {
        const { version, nonce } = parseResponse(bytes, "delta");
        sent.push(`${version} ${nonce}`);
        return Promise.resolve();
      },
    },
    subscriptions,
    hasResponse: false,
  } as unknown as ProxiedStream;
  const converter = {
    convert: ({ resources: [resource] }: ExtensionUpdate): Promise<ConvertedExtensions> => {
      const version = resource?.version ?? "";
      tried.push(version);
      const resources = resource === undefined ? [] : [resource];
      return Promise.resolve({ resources, isChanged: true, failed: ["a"], canRetry: canRetry(version) });
    },
  };
  const stop = new AbortController();
  return { clock, sent, tried, subscriptions, stop, feed: new ExtensionFeed(client, converter, stop.signal) };
}

function response(version: string): Uint8Array {
  const resources = [{ name: "a", version, any: new Uint8Array(0) }];
  return renderResponse({ typeUrl, version, nonce: `n${version}`, resources, removed: [] }, "delta");
}

function origin() {
  return { isOpen: true, reply: () => undefined };
}

test("after a restart of the control plane only its newer response is retried, and the update has a nonce of its own", async () => {
  let missing = true;
  const { clock, sent, tried, stop, feed } = startFeed(() => missing);
  await feed.receive(response("1"), origin());
  await feed.receive(response("2"), origin());
  await clock.advance(60_000);
  expect(tried.filter((version) => version === "1")).toHaveLength(1);
  expect(tried.filter((version) => version === "2").length).toBeGreaterThan(2);
  missing = false;
  await clock.advance(60_000);
  await feed.receive(response("3"), origin());
  await clock.advance(0);
  expect(sent).toEqual(["1 n1", "2 n2", "2 attache-1", "3 n3"]);
  expect(clock.pendingDelaysMs).toEqual([]);
  stop.abort();
});

test("a missing module is retried though the control plane is gone", async () => {
  let missing = true;
  const { clock, sent, feed } = startFeed(() => missing);
  const from = origin();
  await feed.receive(response("1"), from);
  await clock.advance(0);
  from.isOpen = false;
  missing = false;
  await clock.advance(60_000);
  expect(sent).toEqual(["1 n1", "1 attache-1"]);
});

test.each([true, false])(
  "Envoy's acknowledgement of a response goes to the control plane that sent it, and to no other: %s",
  async (isOpen) => {
    const { clock, subscriptions, feed } = startFeed(() => false);
    const first = renderRequest({ typeUrl, subscribe: ["a"] }, "delta");
    runSteps(subscriptions.apply(parseRequest(first, "delta"), first));
    const received = feed.receive(response("1"), { ...origin(), isOpen });
    await received;
    await clock.advance(0);
    const accepted = renderRequest({ typeUrl, nonce: "n1" }, "delta");
    const { forward, acknowledgement } = runSteps(subscriptions.apply(parseRequest(accepted, "delta"), accepted));
    expect(acknowledgement?.kind).toBe("ack");
    expect(forward === undefined).toBe(!isOpen);
  },
);
