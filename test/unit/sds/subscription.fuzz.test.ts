// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type Step, SubscriptionDriver } from "./subscription-driver.ts";
import { fc } from "../../support/properties.ts";

const certificateNames = ["default", "ROOTCA", "file-cert:/certs/a~/certs/b", "file-root:/certs/r", "file-root:system"];
const otherNames = ["", "*", "defualt", "file-cert:/certs/a", "file-root:/etc/shadow", "kubernetes://x", "__proto__"];

const name = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(...certificateNames) },
  { weight: 1, arbitrary: fc.constantFrom(...otherNames) },
  { weight: 1, arbitrary: fc.string() },
);
const names = fc.array(name, { maxLength: 5 });
const nonce = fc.constantFrom("", "last", "last", "last", "nonce-1", "of-an-earlier-server");
const rejection = fc.option(fc.constant("cannot use it"), { nil: undefined, freq: 4 });
const nodeId = fc.constantFrom("sidecar~1", "sidecar~1", "sidecar~1", "");

type Move =
  | { kind: "ask"; names: string[]; nonce: string; rejection: string | undefined; nodeId: string }
  | {
      kind: "delta";
      subscribe: string[];
      unsubscribe: string[];
      nonce: string;
      rejection: string | undefined;
      nodeId: string;
      initial: string[];
    }
  | { kind: "change"; name: string; version: string };

const change = fc.record({
  kind: fc.constant("change" as const),
  name: fc.constantFrom(...certificateNames),
  version: fc.nat(5).map(String),
});
const ask = fc.record({ kind: fc.constant("ask" as const), names, nonce, rejection, nodeId });
const delta = fc.record({
  kind: fc.constant("delta" as const),
  subscribe: names,
  unsubscribe: names,
  nonce,
  rejection,
  nodeId,
  initial: names,
});

/** Does a move and checks what must hold after every one; tells what was sent. */
function play(stream: SubscriptionDriver, move: Move): void {
  const wanted = new Set(stream.subscription.names.map(({ text }) => text));
  let sent: string[];
  let step: Step | undefined;
  if (move.kind === "change") {
    sent = stream.change(move.name, move.version);
    for (const text of sent) expect(text).toBe(`${move.name}@${move.version}`);
    if (!wanted.has(move.name)) expect(sent).toEqual([]);
  } else {
    const facts = {
      nodeId: move.nodeId,
      nonce: move.nonce === "last" ? stream.lastNonce : move.nonce,
      rejection: move.rejection,
    };
    sent = stream.request(
      move.kind === "ask"
        ? { protocol: "state-of-the-world", names: move.names, ...facts }
        : {
            protocol: "delta",
            subscribe: move.subscribe,
            unsubscribe: move.unsubscribe,
            initialVersions: new Map(move.initial.map((text) => [text, "1"])),
            ...facts,
          },
    );
    step = stream.lastStep;
    for (const { text } of step?.added ?? []) wanted.add(text);
    for (const { text } of step?.removed ?? [])
      if (!(step?.added ?? []).some((added) => added.text === text)) wanted.delete(text);
    if (step?.end !== undefined) expect(sent).toEqual([]);
  }
  const now = new Set(stream.subscription.names.map(({ text }) => text));
  expect(now).toEqual(wanted);
  for (const text of sent) {
    const sentName = text.slice(0, text.lastIndexOf("@"));
    expect(now.has(sentName)).toBe(true);
    expect(certificateNames).toContain(sentName);
    expect(text).toBe(`${sentName}@${stream.secrets.get(sentName)?.version ?? ""}`);
  }
  expect(stream.subscription.nextResponse()).toBeUndefined();
}

test.each([
  ["state of the world", ask],
  ["delta", delta],
])("%s: any requests in any order get only what they subscribe to, once, and nothing throws", (_title, request) => {
  const moves = fc.array(fc.oneof(request, change), { maxLength: 25 });
  fc.assert(
    fc.property(moves, (sequence: Move[]) => {
      const stream = new SubscriptionDriver({ default: "0", ROOTCA: "0" });
      for (const move of sequence) play(stream, move);
    }),
    { numRuns: 2_000 },
  );
});

test("whatever came before, a client that keeps to the protocol ends up with the newest of what it wants", () => {
  const moves = fc.array(fc.oneof(ask, change), { maxLength: 25 });
  fc.assert(
    fc.property(moves, (sequence: Move[]) => {
      const stream = new SubscriptionDriver({ default: "0", ROOTCA: "0" });
      stream.ask([]);
      for (const move of sequence) {
        play(stream, move);
        if (stream.end !== undefined) return;
      }
      const newest = ["default", "ROOTCA"].map((text) => `${text}@${stream.secrets.get(text)?.version ?? ""}`);
      expect([...stream.ask(["default", "ROOTCA"])].sort()).toEqual([...newest].sort());
    }),
    { numRuns: 500 },
  );
});
