// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { DiscoveryRequest } from "../../../src/gen/envoy/service/discovery/v3/discovery.ts";
import type { IncomingMessage } from "../../../src/lib/grpc/message.ts";
import type { ServerStreamCall } from "../../../src/lib/grpc/server.ts";
import { SdsObserver } from "../../../src/sds/sds-observer.ts";
import { serveSdsStream } from "../../../src/sds/sds-stream.ts";
import type { SecretHub, SecretSubscriber } from "../../../src/sds/secret-hub.ts";
import { parseSecretName, type SecretName } from "../../../src/sds/secret-name.ts";
import { stateOfTheWorld } from "../../../src/sds/sds-protocol.ts";
import { testBudgets } from "../../support/budgets.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

function requestFor(...resourceNames: string[]): IncomingMessage {
  const bytes = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ node: { id: "n" }, resourceNames })).finish();
  return { kind: "whole", length: bytes.length, bytes };
}

test("a message that is read after the stream has failed subscribes to nothing", async () => {
  const subscribed: string[] = [];
  const failed = Promise.withResolvers<undefined>();
  const readOn = Promise.withResolvers<undefined>();
  async function* requests(): AsyncGenerator<IncomingMessage, void, undefined> {
    yield requestFor("default");
    failed.resolve(undefined);
    await readOn.promise;
    yield requestFor("default", "ROOTCA");
  }
  let subscriber: SecretSubscriber | undefined;
  const hub = {
    subscribe: (name: SecretName, subscribing: SecretSubscriber) => {
      subscribed.push(name.text);
      subscriber = subscribing;
      return { [Symbol.dispose]: () => subscribed.splice(subscribed.indexOf(name.text), 1) };
    },
    settled: () => undefined,
  } as unknown as SecretHub;
  const observer = new SdsObserver({
    metrics: createTestMetrics().sds,
    log: testLog().log,
    clock: systemClock,
    onEvent: () => undefined,
  });
  const call = { requests: requests(), write: () => Promise.resolve() } as unknown as ServerStreamCall;
  const budgets = testBudgets();
  const limits = { names: budgets.of("sds-names"), pendingResponses: budgets.of("sds-pending-responses") };
  const options = {
    ...limits,
    protocol: stateOfTheWorld,
    hub,
    parseName: parseSecretName,
    nextNonce: () => "1",
    observer,
  };
  const served = serveSdsStream(call, { ...options, clock: new FakeClock() });
  served.catch(() => undefined);
  await failed.promise;
  expect(subscribed).toEqual(["default"]);
  subscriber?.fail({ kind: "workload-certificate", text: "default" }, new Error("no such secret"));
  await expect(served).rejects.toThrow("no such secret");
  readOn.resolve(undefined);
  await new Promise((resolve) => setImmediate(resolve));
  expect(subscribed).toEqual([]);
});
