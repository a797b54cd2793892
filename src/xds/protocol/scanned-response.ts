// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "../../lib/grpc/message.ts";
import type { XdsProtocol } from "./request.ts";
import { ResponseScanner } from "./response-scanner.ts";
import { WireError } from "./wire.ts";

/** A message without a type in its first bytes is not a response of a control plane. */
const typeWithinBytes = 1024 * 1024;

/**
 * A response up to this size is passed on when all of it has been received, so that Envoy never sees one that is cut
 * off. Larger ones are few, and pass while they are received: holding them would cost their size in memory.
 */
const maxHeldBytes = 4 * 1024 * 1024;

/** A response whose type is known; the rest is read while it passes. */
export interface ScannedResponse {
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
): Promise<ScannedResponse> {
  const scanner = new ResponseScanner(protocol, message.length);
  if (message.kind === "whole") {
    const { bytes } = message;
    scanner.push(bytes);
    return {
      length: message.length,
      typeUrl: scanner.knownTypeUrl,
      scanner,
      chunks: (onScanned) => one(bytes, onScanned),
    };
  }
  const source = message.chunks[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  let readBytes = 0;
  const { length } = message;
  let isReadable = true;
  const isTyped = (): boolean => scanner.knownTypeUrl !== "";
  const isHeld = (): boolean => length <= maxHeldBytes && isPassedOn(scanner.knownTypeUrl);
  while (isTyped() ? readBytes < length && isHeld() : readBytes < Math.min(length, typeWithinBytes)) {
    const next = await source.next();
    if (next.done === true) break;
    if (isTyped()) isReadable &&= tryPush(scanner, next.value);
    else scanner.push(next.value);
    read.push(next.value);
    readBytes += next.value.length;
  }
  const typeUrl = scanner.knownTypeUrl;
  if (typeUrl === "") throw new WireError("response without a type");
  const passing = { read, source, scanner, length, isReadable };
  return { length, typeUrl, scanner, chunks: (onScanned) => passOn(passing, onScanned) };
}

/** The whole response. */
export async function readScanned(response: ScannedResponse): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of response.chunks(() => undefined)) parts.push(chunk);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
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

async function* passOn(passing: PassingResponse, onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined> {
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
