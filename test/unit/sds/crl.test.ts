// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ObservableValue } from "../../../src/lib/async/observable-value.ts";
import type { Secret } from "../../../src/model/secret.ts";
import { withCrl } from "../../../src/sds/crl.ts";

const roots = (rootsPem: string): Secret => ({ kind: "trust-bundle", rootsPem });

function joined(stop: AbortSignal) {
  const secrets = new ObservableValue<Secret>();
  const lists = new ObservableValue<{ readonly crlPem: string | undefined }>();
  const crl = {
    async *watch(signal: AbortSignal) {
      for await (const { crlPem } of lists.watch(signal)) yield crlPem;
    },
  };
  return { secrets, lists, joint: withCrl((signal) => secrets.watch(signal), crl, stop) };
}

test("roots wait for the first look at the list, then go out after each change of either", async () => {
  const stop = new AbortController();
  const { secrets, lists, joint } = joined(stop.signal);
  const first = joint.next();
  secrets.set(roots("a"));
  lists.set({ crlPem: undefined });
  expect((await first).value).toEqual({ secret: roots("a"), crlPem: undefined });
  lists.set({ crlPem: "list" });
  expect((await joint.next()).value).toEqual({ secret: roots("a"), crlPem: "list" });
  secrets.set(roots("b"));
  expect((await joint.next()).value).toEqual({ secret: roots("b"), crlPem: "list" });
  lists.set({ crlPem: undefined });
  expect((await joint.next()).value).toEqual({ secret: roots("b"), crlPem: undefined });
  stop.abort();
  expect((await joint.next()).done).toBe(true);
});

test("a reader that leaves ends both watches", async () => {
  const { secrets, lists, joint } = joined(new AbortController().signal);
  secrets.set(roots("a"));
  lists.set({ crlPem: undefined });
  for await (const { crlPem } of joint) {
    expect(crlPem).toBeUndefined();
    break;
  }
  expect((await joint.next()).done).toBe(true);
});

test("a source that fails ends the whole with its error", async () => {
  const broken = async function* (): AsyncGenerator<Secret> {
    await Promise.resolve();
    throw new Error("no such bundle");
    yield roots("");
  };
  const lists = new ObservableValue<string>("list");
  const joint = withCrl(broken, { watch: (signal) => lists.watch(signal) }, new AbortController().signal);
  await expect(joint.next()).rejects.toThrow("no such bundle");
});
