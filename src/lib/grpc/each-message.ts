// SPDX-License-Identifier: Apache-2.0
import { orAborted } from "../async/tasks.ts";
import type { IncomingMessage } from "./message.ts";

/** Messages of one stream that are handled in one turn of the event loop. */
const messagesPerTurn = 16;

export interface EachMessageOptions {
  /** Ends the wait for a message, and for its handling. */
  readonly signal?: AbortSignal;
  /** Lets other work run: messages that came together would keep other streams waiting. */
  readonly giveWay?: () => Promise<void>;
}

/**
 * Handles the messages of a stream one after the other, until the last one or until `handle` returns false.
 * @throws what reading and handling throw; the signal's reason
 */
export async function eachMessage(
  messages: AsyncIterable<IncomingMessage>,
  handle: (message: IncomingMessage) => Promise<boolean>,
  { signal, giveWay }: EachMessageOptions = {},
): Promise<void> {
  const source = messages[Symbol.asyncIterator]();
  for (let count = 1; await handleNext(source, handle, signal); count++) {
    if (count % messagesPerTurn === 0) await giveWay?.();
  }
}

/**
 * Not a part of the loop: while the loop waits for the next message, it would keep this one in memory, 62 kB of Envoy's
 * first request.
 */
async function handleNext(
  source: AsyncIterator<IncomingMessage>,
  handle: (message: IncomingMessage) => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const next = await (signal === undefined ? source.next() : orAborted(source.next(), signal));
  if (next.done === true) return false;
  return await (signal === undefined ? handle(next.value) : orAborted(handle(next.value), signal));
}
