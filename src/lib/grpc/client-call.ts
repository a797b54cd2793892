// SPDX-License-Identifier: Apache-2.0
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  constants,
} from "node:http2";
import { describeError } from "../errors.ts";
import { ChunkSource } from "./chunk-source.ts";
import { MessageReader, type ReaderLimits } from "./message-reader.ts";
import { GrpcError, GrpcStatus, errorOfHttpStatus, errorOfReset, outcomeOf } from "./status.ts";
import type { IncomingMessage, MessageWriter } from "./message.ts";
import { MessageSender } from "./message-sender.ts";

/** A call in both directions, from the client's side. */
export interface ClientStream extends MessageWriter, Disposable {
  /** Ends with OK; throws a `GrpcError` for anything else. Unread messages hold the peer back (flow control). */
  readonly responses: AsyncIterable<IncomingMessage>;
  /** Ends this side of the call after the messages written before. */
  end(): Promise<void>;
  /** Cancels the call; harmless if it has ended. Disposing does the same. */
  cancel(): void;
}

interface CallOptions {
  readonly limits: ReaderLimits;
  /** The target of the call, for messages. */
  readonly target: string;
  readonly signal: AbortSignal | undefined;
  /** Whether the connection below is still there. */
  readonly isConnected: () => boolean;
}

/** One call on an HTTP/2 stream. */
export class ClientCall implements ClientStream {
  readonly responses: AsyncIterable<IncomingMessage>;
  readonly #stream: ClientHttp2Stream;
  readonly #options: CallOptions;
  readonly #sender: MessageSender;
  readonly #reader: MessageReader;
  readonly #closed = Promise.withResolvers<undefined>();
  #outcome: "ok" | GrpcError | undefined;

  constructor(stream: ClientHttp2Stream, options: CallOptions) {
    this.#stream = stream;
    this.#options = options;
    const failure = (): Error => this.#failure();
    this.#sender = new MessageSender(stream, failure);
    this.#reader = new MessageReader(new ChunkSource(stream), options.limits, failure);
    this.responses = { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) };
    stream.on("response", (headers) => {
      this.#onHeaders(headers);
    });
    stream.on("trailers", (headers) => {
      this.#outcome ??= outcomeOf(headers);
    });
    stream.on("error", () => undefined);
    this.#followSignal(options.signal);
    stream.on("close", () => {
      this.#closed.resolve(undefined);
    });
  }

  write(message: Uint8Array): Promise<void> {
    return this.#sender.write(message);
  }

  writeChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#sender.writeChunks(length, chunks);
  }

  end(): Promise<void> {
    return this.#sender.end();
  }

  cancel(): void {
    this.#giveUp(new GrpcError(GrpcStatus.cancelled, "the call was cancelled"));
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Resolves when the stream is closed, however the call ended. */
  async untilClosed(): Promise<void> {
    await this.#closed.promise;
  }

  /** Not a generator: one that waits for the next message would keep the last one in memory. */
  async #next(): Promise<IteratorResult<IncomingMessage, void>> {
    const value = await this.#read();
    if (value !== undefined) return { done: false, value };
    await this.#end();
    return { done: true, value };
  }

  async #read(): Promise<IncomingMessage | undefined> {
    try {
      return await this.#reader.next();
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      // The first failure counts: a body that is not gRPC is no message, and the headers before it say what it is.
      this.#giveUp(error);
      throw this.#outcome instanceof GrpcError ? this.#outcome : error;
    }
  }

  /** After the last response. @throws GrpcError unless the call ended with OK */
  async #end(): Promise<void> {
    if (this.#outcome === undefined) await this.#closed.promise;
    // The outcome is known; a request side that is still open would keep the stream open.
    if (!this.#stream.writableEnded) this.#stream.close(constants.NGHTTP2_CANCEL);
    if (this.#outcome !== "ok") throw this.#failure();
  }

  #onHeaders(headers: IncomingHttpHeaders & { readonly ":status"?: number | undefined }): void {
    this.#outcome ??= outcomeOf(headers);
    if (this.#outcome !== undefined) return;
    const httpStatus = headers[":status"] ?? 0;
    if (httpStatus !== 200) this.#giveUp(errorOfHttpStatus(httpStatus));
    else if (headers["content-type"]?.startsWith("application/grpc") !== true) {
      const given = (headers["content-type"] ?? "").slice(0, 100);
      this.#giveUp(
        new GrpcError(
          GrpcStatus.unknown,
          `the peer's response is not gRPC, but ${given === "" ? "of no type" : given}`,
        ),
      );
    }
  }

  #followSignal(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const onAbort = (): void => {
      this.#giveUp(errorOfAbort(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#stream.on("close", () => {
      signal.removeEventListener("abort", onAbort);
    });
    if (signal.aborted) onAbort();
  }

  #giveUp(reason: GrpcError): void {
    this.#outcome ??= reason;
    if (!this.#stream.closed && !this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #failure(): GrpcError {
    if (this.#outcome !== undefined && this.#outcome !== "ok") return this.#outcome;
    const { rstCode } = this.#stream;
    if (!this.#options.isConnected()) return errorOfLostConnection(this.#options.target);
    if (rstCode !== constants.NGHTTP2_NO_ERROR) return errorOfReset(rstCode);
    return new GrpcError(GrpcStatus.internal, "the peer ended the call without a status");
  }
}

/** Starts a stream. @throws GrpcError, also for a session that is closed or destroyed and for metadata that is not valid */
export function openStream(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  target: string,
): ClientHttp2Stream {
  try {
    return session.request(headers);
  } catch (cause) {
    if (session.destroyed || session.closed) throw errorOfLostConnection(target, cause);
    throw new GrpcError(GrpcStatus.internal, `the call to ${target} cannot start: ${describeError(cause)}`, { cause });
  }
}

function errorOfLostConnection(target: string, cause?: unknown): GrpcError {
  return new GrpcError(GrpcStatus.unavailable, `the connection to ${target} was lost`, { cause });
}

/** A signal's reason as a status: the reason itself when it is one, else CANCELLED. */
export function errorOfAbort(signal: AbortSignal): GrpcError {
  if (signal.reason instanceof GrpcError) return signal.reason;
  return new GrpcError(GrpcStatus.cancelled, "the call was cancelled", { cause: signal.reason });
}
