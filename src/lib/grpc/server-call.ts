// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { describeError } from "../errors.ts";
import { ChunkSource } from "./chunk-source.ts";
import { MessageReader, type ReaderLimits } from "./message-reader.ts";
import type { IncomingMessage, MessageWriter } from "./message.ts";
import { MessageSender } from "./message-sender.ts";
import { type Metadata, encodeGrpcMessage, metadataOf } from "./metadata.ts";
import { GrpcError, GrpcStatus } from "./status.ts";
import type { UnreadBytes } from "./unread-bytes.ts";

/** The facts about a call that a handler gets. */
export interface ServerCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly metadata: Metadata;
  /** Aborts when the peer cancels, the deadline passes, or the server is disposed. */
  readonly signal: AbortSignal;
  /** Whether the client is one that never gives way to others. */
  readonly isPreferred: () => boolean;
}

export interface ServerStreamCall extends ServerCall, MessageWriter {
  /** Ends when the peer has finished its side. Unread messages hold the peer back (flow control). */
  readonly requests: AsyncIterable<IncomingMessage>;
}

/** One call on the server's side, from its headers to its trailers. */
export class ServerStream implements ServerStreamCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly requests: MessageReader;
  readonly isPreferred: () => boolean;
  readonly #stream: ServerHttp2Stream;
  readonly #source: ChunkSource;
  readonly #sender: MessageSender;
  /** Made for the first one who asks: most calls end without. */
  #abort: AbortController | undefined;
  #abortReason: GrpcError | undefined;
  #finished = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    limits: ReaderLimits & { readonly unread: UnreadBytes } & Pick<ServerCall, "isPreferred">,
  ) {
    this.isPreferred = limits.isPreferred;
    this.#stream = stream;
    this.path = headers[":path"] ?? "";
    this.metadata = metadataOf(headers);
    const gone = (): Error => this.#goneError();
    this.#source = new ChunkSource(stream);
    this.requests = new MessageReader(this.#source, limits, gone);
    this.#sender = new MessageSender(stream, gone, limits.unread);
    const onGone = (): void => {
      if (!this.#finished) this.#abortWith(this.#goneError());
    };
    stream.on("aborted", onGone);
    stream.on("close", onGone);
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#abortReason !== undefined) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  /** Whether the signal has aborted. */
  get isOver(): boolean {
    return this.#abortReason !== undefined;
  }

  #abortWith(reason: GrpcError): void {
    this.#abortReason ??= reason;
    this.#abort?.abort(reason);
  }

  write(message: Uint8Array): Promise<void> {
    this.#begin();
    return this.#sender.write(message);
  }

  writeChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#begin();
    return this.#sender.writeChunks(length, chunks);
  }

  /** Ends the call with OK after all that was written. */
  finish(): Promise<void> {
    if (this.#finished || this.#stream.destroyed) return Promise.resolve();
    this.#begin();
    this.#finished = true;
    this.#discardRest();
    return this.#sender.end();
  }

  /** Ends the call with a failure; messages not yet on their way are dropped. */
  fail(error: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    const failure = error instanceof GrpcError ? error : new GrpcError(GrpcStatus.unknown, describeError(error));
    this.#abortWith(failure);
    if (this.#stream.destroyed || this.#stream.closed) return;
    const trailers = trailersOf(failure);
    if (this.#stream.headersSent) {
      this.#trailers = trailers;
      this.#stream.end();
    } else {
      this.#stream.respond({ ...responseHeaders, ...trailers }, { endStream: true });
    }
    this.#discardRest();
  }

  #trailers: OutgoingHttpHeaders = { "grpc-status": String(GrpcStatus.ok) };

  /**
   * Further data from the peer is read and dropped. Resetting the stream would be the shorter way, but Node lets a
   * reset overtake the trailers (observed with 26.10); peers that see the trailers finish their side themselves.
   */
  #discardRest(): void {
    this.#source.discard();
  }

  /** Headers go out with the first message, so that a call that fails before has its status in them. */
  #begin(): void {
    if (this.#stream.headersSent || this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.respond(responseHeaders, { waitForTrailers: true });
    this.#stream.on("wantTrailers", () => {
      this.#stream.sendTrailers(this.#trailers);
    });
  }

  #goneError(): GrpcError {
    return new GrpcError(GrpcStatus.cancelled, "the peer cancelled the call");
  }
}

const responseHeaders = { ":status": 200, "content-type": "application/grpc" };

function trailersOf(error: GrpcError): OutgoingHttpHeaders {
  return {
    "grpc-status": String(error.status),
    ...(error.detail === "" ? {} : { "grpc-message": encodeGrpcMessage(error.detail) }),
    ...(error.details === undefined
      ? {}
      : { "grpc-status-details-bin": Buffer.from(error.details).toString("base64") }),
  };
}
