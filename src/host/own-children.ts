// SPDX-License-Identifier: Apache-2.0
import { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";

/** Where the runtime tells of each child that it makes. Source: Node's documentation of diagnostics_channel */
const channel = "child_process";

/** The children whose ends the runtime waits for, from now on. */
export interface OwnChildren extends Disposable {
  has(pid: number): boolean;
}

/**
 * Knows every child that this process starts, wherever in it: probes, validations, Envoy itself. Whoever takes note of
 * the end of one in the runtime's place leaves those who wait for it waiting for ever.
 */
export function watchOwnChildren(): OwnChildren {
  const children = new Set<ChildProcess>();
  const onCreated = (message: unknown): void => {
    const child = childOf(message);
    if (child === undefined) return;
    children.add(child);
    const forget = (): void => {
      children.delete(child);
    };
    // the process id comes later, and never where the program cannot be run
    child.once("exit", forget);
    child.once("error", forget);
  };
  subscribe(channel, onCreated);
  return {
    has: (pid) => [...children].some((child) => child.pid === pid),
    [Symbol.dispose]() {
      unsubscribe(channel, onCreated);
    },
  };
}

function childOf(message: unknown): ChildProcess | undefined {
  if (typeof message !== "object" || message === null || !("process" in message)) return undefined;
  return message.process instanceof ChildProcess ? message.process : undefined;
}
