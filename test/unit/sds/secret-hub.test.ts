// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ObservableValue } from "../../../src/lib/async/observable-value.ts";
import { type EncodedSecret, SecretHub, type SecretSubscriber } from "../../../src/sds/secret-hub.ts";
import { type SecretName, parseSecretName } from "../../../src/sds/secret-name.ts";
import { testBudgets } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class FakeSubscriber implements SecretSubscriber {
  readonly offered: string[] = [];
  readonly failures: unknown[] = [];
  settled = true;
  offer(text: string, secret: EncodedSecret): void {
    this.offered.push(`${text}=${Buffer.from(secret.resource).toString()}`);
  }
  fail(_name: SecretName, error: unknown): void {
    this.failures.push(error);
  }
  isSettled(): boolean {
    return this.settled;
  }
}

const leaf = parseSecretName("default");
const roots = parseSecretName("ROOTCA");
const bundle = (text: string): Buffer => Buffer.from(text);
const certificate = bundle;

function setupHub() {
  const clock = new FakeClock();
  const sources = { default: new ObservableValue<Buffer>(), ROOTCA: new ObservableValue<Buffer>() };
  const watches: string[] = [];
  const hub = new SecretHub({
    fileSecrets: testBudgets().of("sds-file-secrets"),
    clock,
    watch: (name, signal) => {
      watches.push(name.text);
      if (name.text !== "default" && name.text !== "ROOTCA") throw new Error("no such file");
      return sources[name.text].watch(signal);
    },
  });
  return { clock, hub, sources, watches, [Symbol.asyncDispose]: () => hub[Symbol.asyncDispose]() };
}

test("one watch serves all subscribers; it ends with the last one", async () => {
  await using setup = setupHub();
  const { clock, hub, sources, watches } = setup;
  const [first, second] = [new FakeSubscriber(), new FakeSubscriber()];
  const lease = hub.subscribe(leaf, first);
  sources.default.set(certificate("a"));
  await clock.advance(0);
  const later = hub.subscribe(leaf, second);
  expect(watches).toEqual(["default"]);
  expect([first.offered, second.offered]).toEqual([["default=a"], ["default=a"]]);
  lease[Symbol.dispose]();
  lease[Symbol.dispose]();
  later[Symbol.dispose]();
  sources.default.set(certificate("b"));
  await clock.advance(0);
  expect(first.offered).toEqual(["default=a"]);
  hub.subscribe(leaf, first);
  await clock.advance(0);
  expect(watches).toEqual(["default", "default"]);
  expect(first.offered).toEqual(["default=a", "default=b"]);
});

test("unchanged content is not sent again", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const subscriber = new FakeSubscriber();
  hub.subscribe(roots, subscriber);
  for (const pem of ["a", "a", "b"]) {
    sources.ROOTCA.set(bundle(pem));
    await clock.advance(0);
  }
  expect(subscriber.offered).toEqual(["ROOTCA=a", "ROOTCA=b"]);
});

test("a new leaf waits until every stream has settled the roots that came before it", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const [trusting, presenting] = [new FakeSubscriber(), new FakeSubscriber()];
  hub.subscribe(roots, trusting);
  hub.subscribe(leaf, presenting);
  sources.ROOTCA.set(bundle("old"));
  sources.default.set(certificate("old"));
  await clock.advance(0);
  hub.settled(trusting);
  trusting.settled = false;
  sources.default.set(certificate("new"));
  sources.ROOTCA.set(bundle("old and new"));
  await clock.advance(900);
  expect(trusting.offered).toEqual(["ROOTCA=old", "ROOTCA=old and new"]);
  expect(presenting.offered).toEqual(["default=old"]);
  trusting.settled = true;
  hub.settled(trusting);
  await clock.advance(0);
  expect(presenting.offered).toEqual(["default=old", "default=new"]);
});

test.each(["stays silent", "leaves"])("a stream that %s does not hold the new leaf back for long", async (what) => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const [trusting, presenting] = [new FakeSubscriber(), new FakeSubscriber()];
  trusting.settled = false;
  const lease = hub.subscribe(roots, trusting);
  hub.subscribe(leaf, presenting);
  sources.ROOTCA.set(bundle("a"));
  sources.default.set(certificate("old"));
  await clock.advance(0);
  sources.default.set(certificate("new"));
  await clock.advance(10);
  expect(presenting.offered).toEqual(["default=old"]);
  if (what === "leaves") {
    trusting.settled = true;
    lease[Symbol.dispose]();
    await clock.advance(0);
  } else {
    await clock.advance(1_000);
  }
  expect(presenting.offered).toEqual(["default=old", "default=new"]);
  sources.default.set(certificate("newer"));
  await clock.advance(0);
  expect(presenting.offered.at(-1)).toBe("default=newer");
});

test("many subscribers are served in several turns of the event loop", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const subscribers = Array.from({ length: 100 }, () => new FakeSubscriber());
  for (const subscriber of subscribers) hub.subscribe(roots, subscriber);
  sources.ROOTCA.set(bundle("a"));
  await clock.advance(0);
  expect(subscribers.every((subscriber) => subscriber.offered.length === 1)).toBe(true);
});

test("A6: a source that cannot serve a name fails its subscribers; a later subscriber starts a new watch", async () => {
  await using setup = setupHub();
  const { clock, hub, watches } = setup;
  const subscriber = new FakeSubscriber();
  const file = parseSecretName("file-root:/certs/gone.pem");
  hub.subscribe(file, subscriber);
  await clock.advance(0);
  expect(subscriber.failures).toEqual([new Error("no such file")]);
  hub.subscribe(file, new FakeSubscriber());
  await clock.advance(0);
  expect(watches.length).toBe(2);
});
