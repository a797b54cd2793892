// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ObservableValue } from "../../../src/lib/async/observable-value.ts";
import { type EncodedSecret, SecretHub, type SecretReader } from "../../../src/sds/secret-hub.ts";
import { type SecretName, parseSecretName } from "../../../src/sds/secret-name.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class FakeReader implements SecretReader {
  readonly offered: string[] = [];
  readonly refused: unknown[] = [];
  settled = true;
  offer(text: string, secret: EncodedSecret): void {
    this.offered.push(`${text}=${Buffer.from(secret.resource).toString()}`);
  }
  refuse(_name: SecretName, error: unknown): void {
    this.refused.push(error);
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
    clock,
    watch: (name, signal) => {
      watches.push(name.text);
      if (name.text !== "default" && name.text !== "ROOTCA") throw new Error("no such file");
      return sources[name.text].watch(signal);
    },
  });
  return { clock, hub, sources, watches, [Symbol.asyncDispose]: () => hub[Symbol.asyncDispose]() };
}

test("one watch serves all readers; the last to leave ends it", async () => {
  await using setup = setupHub();
  const { clock, hub, sources, watches } = setup;
  const [first, second] = [new FakeReader(), new FakeReader()];
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

test("content that is the same as before is not passed on", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const reader = new FakeReader();
  hub.subscribe(roots, reader);
  for (const pem of ["a", "a", "b"]) {
    sources.ROOTCA.set(bundle(pem));
    await clock.advance(0);
  }
  expect(reader.offered).toEqual(["ROOTCA=a", "ROOTCA=b"]);
});

test("a new leaf waits until every stream has taken the roots that came before it", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const [trusting, presenting] = [new FakeReader(), new FakeReader()];
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
  const [trusting, presenting] = [new FakeReader(), new FakeReader()];
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

test("many readers are served in several turns, so that the event loop stays free", async () => {
  await using setup = setupHub();
  const { clock, hub, sources } = setup;
  const readers = Array.from({ length: 100 }, () => new FakeReader());
  for (const reader of readers) hub.subscribe(roots, reader);
  sources.ROOTCA.set(bundle("a"));
  await clock.advance(0);
  expect(readers.every((reader) => reader.offered.length === 1)).toBe(true);
});

test("A6: a source that gives up on a name refuses it to its readers; a later reader makes it try again", async () => {
  await using setup = setupHub();
  const { clock, hub, watches } = setup;
  const reader = new FakeReader();
  const file = parseSecretName("file-root:/certs/gone.pem");
  hub.subscribe(file, reader);
  await clock.advance(0);
  expect(reader.refused).toEqual([new Error("no such file")]);
  hub.subscribe(file, new FakeReader());
  await clock.advance(0);
  expect(watches.length).toBe(2);
});
