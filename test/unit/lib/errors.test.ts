// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { AgentError, describeError, exitCodeOf, systemCode } from "../../../src/lib/errors.ts";
import { exitCode } from "../../../src/lib/exit-code.ts";

test("an error is described with its causes, on one line, without repetition", () => {
  const root = new Error("connect ECONNREFUSED\n127.0.0.1:1");
  const middle = new Error(`UNAVAILABLE: ${root.message}`, { cause: root });
  const outer = new Error(`sign at ca:1: ${root.message}`, { cause: middle });
  expect(describeError(outer)).toBe("sign at ca:1: connect ECONNREFUSED 127.0.0.1:1");
  expect(describeError(new Error("read token", { cause: new Error("ENOENT") }))).toBe("read token: ENOENT");
  // OpenSSL's messages end with a line break (observed with Node.js 26).
  const alert = new Error("SSL alert number 48\n");
  expect(describeError(new Error("call the CA: SSL alert number 48", { cause: alert }))).toBe(
    "call the CA: SSL alert number 48",
  );
});

test("the errors of an aggregate are described together", () => {
  expect(describeError(new AggregateError([new Error("v4 refused"), new Error("v6 refused")], ""))).toBe(
    "v4 refused; v6 refused",
  );
});

test("a thrown value that is no error is described as text", () => {
  expect(describeError("plain")).toBe("plain");
  expect(systemCode(new Error("no code"))).toBeUndefined();
  expect(systemCode(Object.assign(new Error("gone"), { code: "ENOENT" }))).toBe("ENOENT");
});

class OwnFault extends AgentError {
  readonly code = "AGENT_OWN_FAULT";
}

class PortTaken extends AgentError {
  readonly code = "AGENT_PORT_TAKEN";
  override readonly exitCode = exitCode.unavailable;
}

test("an error class states its exit code; every other error is an internal fault", () => {
  expect(exitCodeOf(new PortTaken("listen on 15020"))).toBe(69);
  expect(exitCodeOf(new OwnFault("read state"))).toBe(70);
  expect(exitCodeOf(new TypeError("x is undefined"))).toBe(70);
  expect(exitCodeOf("text")).toBe(70);
});

test("each message of a chain is cut: a peer may have written it, and its text is kept and logged", () => {
  const error = new Error("call the CA", { cause: new Error("x".repeat(100_000)) });
  expect(describeError(error)).toBe(`call the CA: ${"x".repeat(500)}…`);
});
