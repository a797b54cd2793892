// SPDX-License-Identifier: Apache-2.0
import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import { listenSignals, StopRequest } from "../../../src/cli/signals.ts";

function listen() {
  const source = new EventEmitter();
  const signals = listenSignals(source);
  const reported: Error[] = [];
  signals.onFault((fault) => reported.push(fault));
  return { source, signals, reported };
}

describe("signals", () => {
  test.each(["SIGTERM", "SIGINT", "SIGQUIT"] as const)("the first %s requests a shutdown and is its reason", (name) => {
    const { source, signals } = listen();
    source.emit(name);
    expect(signals.stop.reason).toEqual(new StopRequest(name));
    expect((signals.stop.reason as Error).message).toBe(`received ${name}`);
    expect([signals.force.aborted, signals.fault()]).toEqual([false, undefined]);
  });

  test("the second signal forces the exit, whichever it is", () => {
    const { source, signals } = listen();
    source.emit("SIGTERM");
    source.emit("SIGINT");
    expect(signals.force.aborted).toBe(true);
    expect(signals.stop.reason).toMatchObject({ signal: "SIGTERM" });
  });

  test("SIGHUP calls the last listener, and does nothing before there is one", () => {
    const { source, signals } = listen();
    source.emit("SIGHUP");
    const calls: string[] = [];
    signals.onHangup(() => calls.push("first"));
    signals.onHangup(() => calls.push("second"));
    source.emit("SIGHUP");
    expect(calls).toEqual(["second"]);
    expect(signals.stop.aborted).toBe(false);
  });

  test("22: SIGUSR1 calls the listener, and one from before the listener is not lost", () => {
    const { source, signals } = listen();
    source.emit("SIGUSR1");
    const calls: string[] = [];
    signals.onReopenLogs(() => calls.push("reopen"));
    expect(calls).toEqual(["reopen"]);
    source.emit("SIGUSR1");
    expect(calls).toEqual(["reopen", "reopen"]);
    expect([signals.stop.aborted, signals.force.aborted]).toEqual([false, false]);
  });

  test("A3: SIGUSR2 calls the listener, and does not end the process", () => {
    const { source, signals } = listen();
    expect(source.emit("SIGUSR2")).toBe(true);
    const calls: string[] = [];
    signals.onRenew(() => calls.push("renew"));
    source.emit("SIGUSR2");
    expect(calls).toEqual(["renew"]);
    expect([signals.stop.aborted, signals.force.aborted]).toEqual([false, false]);
  });

  test("signals that pilot-agent ignores do not end the process", () => {
    const { source, signals } = listen();
    for (const name of ["SIGUSR2", "SIGALRM"]) expect(source.emit(name)).toBe(true);
    expect([signals.stop.aborted, signals.force.aborted]).toEqual([false, false]);
  });
});

describe("uncaught faults", () => {
  test("a fault never forces the exit: two rejections of one cause let Envoy drain", () => {
    const { source, signals, reported } = listen();
    const faults = [new Error("first"), new Error("second")];
    for (const fault of faults) source.emit("unhandledRejection", fault);
    expect(signals.stop.reason).toBe(faults[0]);
    expect(signals.force.aborted).toBe(false);
    expect(signals.fault()).toBe(faults[0]);
    expect(reported).toEqual(faults);
  });

  test("a fault after SIGTERM does not force the exit, is reported and is what the process exits with", () => {
    const { source, signals, reported } = listen();
    source.emit("SIGTERM");
    const fault = new Error("stray");
    source.emit("unhandledRejection", fault);
    expect(signals.force.aborted).toBe(false);
    expect(signals.stop.reason).toBeInstanceOf(StopRequest);
    expect([signals.fault(), reported]).toEqual([fault, [fault]]);
  });

  test("the first SIGTERM after a fault does not force the exit either; the second does", () => {
    const { source, signals } = listen();
    source.emit("uncaughtException", new Error("fault"));
    source.emit("SIGTERM");
    expect(signals.force.aborted).toBe(false);
    source.emit("SIGTERM");
    expect(signals.force.aborted).toBe(true);
  });

  test("a thrown value that is no error becomes one", () => {
    const { source, signals } = listen();
    source.emit("unhandledRejection", undefined);
    expect(signals.fault()?.message).toBe("uncaught: undefined");
  });

  test("the first listener gets earlier faults, a later one only new ones", () => {
    const source = new EventEmitter();
    const { onFault } = listenSignals(source);
    source.emit("uncaughtException", new Error("early"));
    const seen: string[] = [];
    onFault(({ message }) => seen.push(`first: ${message}`));
    onFault(({ message }) => seen.push(`second: ${message}`));
    source.emit("uncaughtException", new Error("late"));
    expect(seen).toEqual(["first: early", "second: late"]);
  });
});
