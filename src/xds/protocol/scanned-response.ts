// SPDX-License-Identifier: Apache-2.0
import type { TimeSlice } from "../../lib/async/time-slice.ts";
import type { Budget } from "../../lib/budget.ts";
import { ByteParts } from "../../lib/byte-parts.ts";
import type { IncomingMessage } from "../../lib/grpc/message.ts";
import type { XdsProtocol } from "./request.ts";
import { ResponseScanner } from "./response-scanner.ts";
import { WireError } from "./wire.ts";

/** A message without a type in its first bytes is not a response of a control plane. */
const typeWithinBytes = 1024 * 1024;

/**
 * A response up to a size is passed on when all of it has been received, so that Envoy never sees one that is cut off.
 * Larger ones are few, and pass while they are received: holding them would cost their size in memory. So do responses
 * that do not fit into the memory for all streams.
 */
export interface ScanLimits {
  /** One text of the response. */
  readonly textBytes: Budget;
  /** Of the process. */
  readonly heldBytes: Budget;
  readonly heldBytesOfResponse: Budget;
  /** Reading gives way to other work. */
  readonly slice: TimeSlice;
}

/** A response whose type is known; the rest is read while it passes. Dispose it when it has been read. */
export interface ScannedResponse extends Disposable {
  readonly length: number;
  readonly typeUrl: string;
  readonly scanner: ResponseScanner;
  /** All bytes of the response. `onScanned` is called before the last of them is yielded. */
  chunks(onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Reads a response until its type is known: of one that comes in chunks, usually the first chunk.
 * @param isPassedOn whether responses of a type are passed on to the client
 * @throws WireError when it is malformed up to there, or has no type
 */
export async function scanResponse(
  message: IncomingMessage,
  protocol: XdsProtocol,
  isPassedOn: (typeUrl: string) => boolean,
  limits: ScanLimits,
): Promise<ScannedResponse> {
  const scanner = new ResponseScanner(protocol, message.length, limits.textBytes);
  if (message.kind === "whole") {
    const { bytes } = message;
    scanner.push(bytes);
    return {
      length: message.length,
      typeUrl: scanner.knownTypeUrl,
      scanner,
      chunks: (onScanned) => one(bytes, onScanned),
      [Symbol.dispose]: () => undefined,
    };
  }
  const held = limits.heldBytes.child();
  const mayHold = message.length <= limits.heldBytesOfResponse.size;
  const isHeld = (typeUrl: string): boolean =>
    mayHold && isPassedOn(typeUrl) && (held.used > 0 || held.tryTake(message.length));
  try {
    const passing = await readBeginning(message, scanner, limits.slice, isHeld);
    const typeUrl = scanner.knownTypeUrl;
    if (typeUrl === "") throw new WireError("response without a type");
    return {
      length: message.length,
      typeUrl,
      scanner,
      chunks: (onScanned) => passOn(passing, limits.slice, onScanned),
      [Symbol.dispose]: () => {
        held[Symbol.dispose]();
      },
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

/** Up to the type, and of a response that is held, to its end. */
async function readBeginning(
  { length, chunks }: IncomingMessage & { readonly kind: "chunks" },
  scanner: ResponseScanner,
  slice: TimeSlice,
  isHeld: (typeUrl: string) => boolean,
): Promise<PassingResponse> {
  const source = chunks[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  let readBytes = 0;
  let isReadable = true;
  const isTyped = (): boolean => scanner.knownTypeUrl !== "";
  while (
    isTyped() ? readBytes < length && isHeld(scanner.knownTypeUrl) : readBytes < Math.min(length, typeWithinBytes)
  ) {
    const next = await source.next();
    if (next.done === true) break;
    if (isTyped()) isReadable &&= tryPush(scanner, next.value);
    else scanner.push(next.value);
    read.push(next.value);
    readBytes += next.value.length;
    if (slice.isOver) await slice.next();
  }
  return { read, source, scanner, length, isReadable };
}

/** The whole response. */
export async function readScanned(response: ScannedResponse): Promise<Uint8Array> {
  const parts = new ByteParts();
  for await (const chunk of response.chunks(() => undefined)) parts.push(chunk);
  return parts.take();
}

async function* one(bytes: Uint8Array, onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined> {
  onScanned();
  yield await Promise.resolve(bytes);
}

interface PassingResponse {
  readonly read: readonly Uint8Array[];
  readonly source: AsyncIterator<Uint8Array, void, undefined>;
  readonly scanner: ResponseScanner;
  readonly length: number;
  readonly isReadable: boolean;
}

async function* passOn(
  passing: PassingResponse,
  slice: TimeSlice,
  onScanned: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { read, source, scanner, length } = passing;
  let leftBytes = length;
  let { isReadable } = passing;
  for (const chunk of read) {
    leftBytes -= chunk.length;
    if (leftBytes === 0) onScanned();
    yield chunk;
  }
  for (;;) {
    const next = await source.next();
    if (next.done === true) return;
    // A response that turns out malformed is passed on all the same: Envoy reports the problem.
    isReadable &&= tryPush(scanner, next.value);
    leftBytes -= next.value.length;
    if (leftBytes === 0) onScanned();
    yield next.value;
    if (slice.isOver) await slice.next();
  }
}

function tryPush(scanner: ResponseScanner, chunk: Uint8Array): boolean {
  try {
    scanner.push(chunk);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}
