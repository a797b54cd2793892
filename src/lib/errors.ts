// SPDX-License-Identifier: Apache-2.0
import { exitCode } from "./exit-code.ts";
import { shortenPeerText } from "./printable-text.ts";
import { oneLine } from "./trim.ts";

/**
 * The base of every error thrown on purpose: a stable `code` to branch on, typed facts in the subclass, and the cause.
 * Messages are lower case, without a full stop, and say what was attempted, where, and what to do about it.
 */
export abstract class AgentError extends Error {
  /** Stable and documented in docs/errors.md. Callers branch on it, never on the message. */
  abstract readonly code: `AGENT_${string}`;
  /** The exit code of the process when this error ends it. docs/exit-codes.md */
  readonly exitCode: number = exitCode.internal;
}

/** The exit code for an error that ends a command. An error that was not thrown on purpose is an internal fault. */
export function exitCodeOf(error: unknown): number {
  return error instanceof AgentError ? error.exitCode : exitCode.internal;
}

/** The default case of a `switch` over a union: a kind that is added later is a type error here. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value ${JSON.stringify(value)}`);
}

/**
 * The messages of an error and its causes on one line, without stack traces. A cause is omitted if its text, without a
 * leading code, is already in an outer message. Each message may have a peer's text in it, and is cut to the length that
 * is kept of such texts.
 */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && parts.length < 8) {
    const text = shortenPeerText(oneLine(messageOf(current)).trim());
    const core = text.replace(/^[A-Z_]+: /, "");
    if (core !== "" && !parts.some((part) => part.includes(core))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}

/** The code of a failed system call (`ENOENT`, `EADDRINUSE`); undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map(messageOf).join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}
