// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "../../lib/grpc/message.ts";
import type { XdsProtocol } from "./request.ts";
import { ResponseScanner } from "./response-scanner.ts";
import { WireError } from "./wire.ts";

/** After so many bytes without a type, the message is none that a control plane sends. */
const typeWithinBytes = 1024 * 1024;

/**
 * An answer up to this size is handed on when all of it is there: what breaks off inside of it is never seen. The
 * longer ones, of which the first part has gone out by then, are few; to hold them costs as much memory as they have.
 */
const heldBytes = 4 * 1024 * 1024;

/** A response on its way, of which the type is known and the rest is read while it passes. */
export interface ScannedMessage {
  readonly length: number;
  readonly typeUrl: string;
  readonly scanner: ResponseScanner;
  /** All bytes of the message. `onScanned` is called before the last of them is given out. */
  chunks(onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Reads a response up to where its type is known: for one that comes in chunks, mostly the first chunk.
 * @throws WireError when it is malformed before that, or has no type
 */
export async function scanMessage(message: IncomingMessage, protocol: XdsProtocol): Promise<ScannedMessage> {
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
  const isHeld = length <= heldBytes;
  let isLegible = true;
  const isTyped = (): boolean => scanner.knownTypeUrl !== "";
  while (isTyped() ? isHeld && readBytes < length : readBytes < Math.min(length, typeWithinBytes)) {
    const next = await source.next();
    if (next.done === true) break;
    if (isTyped()) isLegible &&= pushed(scanner, next.value);
    else scanner.push(next.value);
    read.push(next.value);
    readBytes += next.value.length;
  }
  const typeUrl = scanner.knownTypeUrl;
  if (typeUrl === "") throw new WireError("a response without a type");
  const passing = { read, source, scanner, length, isLegible };
  return { length, typeUrl, scanner, chunks: (onScanned) => passOn(passing, onScanned) };
}

async function* one(bytes: Uint8Array, onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined> {
  onScanned();
  yield await Promise.resolve(bytes);
}

interface Passing {
  readonly read: readonly Uint8Array[];
  readonly source: AsyncIterator<Uint8Array, void, undefined>;
  readonly scanner: ResponseScanner;
  readonly length: number;
  readonly isLegible: boolean;
}

async function* passOn(passing: Passing, onScanned: () => void): AsyncGenerator<Uint8Array, void, undefined> {
  const { read, source, scanner, length } = passing;
  let leftBytes = length;
  let { isLegible } = passing;
  for (const chunk of read) {
    leftBytes -= chunk.length;
    if (leftBytes === 0) onScanned();
    yield chunk;
  }
  for (;;) {
    const next = await source.next();
    if (next.done === true) return;
    // What became illegible half-way is passed on all the same: Envoy will say what is wrong with it.
    isLegible &&= pushed(scanner, next.value);
    leftBytes -= next.value.length;
    if (leftBytes === 0) onScanned();
    yield next.value;
  }
}

function pushed(scanner: ResponseScanner, chunk: Uint8Array): boolean {
  try {
    scanner.push(chunk);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

/** The whole message. */
export async function readScanned(message: ScannedMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of message.chunks(() => undefined)) parts.push(chunk);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}
