// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Progress, type Screen, screenFor } from "../../../src/dev/progress.ts";

function recorded(
  isTerminal: boolean,
  env: Record<string, string>,
): { readonly screen: Screen; readonly text: () => string } {
  let text = "";
  const screen = screenFor((part) => (text += part), isTerminal, env);
  return { screen, text: () => text };
}

function show(screen: Screen): void {
  const progress = new Progress(screen);
  progress.expect("web", ["Envoy", "CSR"]);
  progress.end("web", "Envoy", "12 ms");
  progress.end("web", "Envoy", "13 ms");
  progress.end("web", "CSR", "rejected", "failed");
  progress.say("end");
}

test("without a terminal each step is one line when it ends, and there is no control character", () => {
  const { screen, text } = recorded(false, {});
  show(screen);
  expect(text()).toBe("  web     ✓ Envoy 12 ms\n  web     ✗ CSR rejected\nend\n");
});

test("on a terminal the line of a group is drawn again with each step", () => {
  const { screen, text } = recorded(true, { TERM: "xterm" });
  show(screen);
  expect(text().match(/\u001B\[1A/g)).toHaveLength(2);
  expect(text()).toContain("\u001B[32m✓ Envoy 12 ms\u001B[0m");
});

test("NO_COLOR removes the colours and keeps the redrawing; a dumb terminal has neither", () => {
  const plain = recorded(true, { TERM: "xterm", NO_COLOR: "1" });
  show(plain.screen);
  expect(plain.text()).not.toMatch(/\u001B\[\d*m/);
  expect(plain.text()).toContain("\u001B[1A");
  const dumb = recorded(true, { TERM: "dumb" });
  show(dumb.screen);
  expect(dumb.text()).not.toContain("\u001B");
});
