// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { readWhole } from "../lib/grpc/message.ts";
import type { EncodedSecret, SecretHub, SecretReader } from "./secret-hub.ts";
import type { SecretName, SecretNameError } from "./secret-name.ts";
import type { SdsObserver } from "./sds-observer.ts";
import {
  Subscription,
  type SubscriptionAnswer,
  type SubscriptionEnd,
  type SubscriptionRequest,
} from "./subscription.ts";

/** One of the two forms in which a subscription goes over the wire. */
export interface SdsProtocol {
  /** @throws GrpcError when the bytes are not such a message */
  readonly parseRequest: (bytes: Uint8Array) => SubscriptionRequest;
  readonly renderAnswer: (answer: SubscriptionAnswer<EncodedSecret>) => Uint8Array;
}

export interface SdsStreamOptions {
  readonly protocol: SdsProtocol;
  readonly hub: SecretHub;
  /** @throws SecretNameError */
  readonly parseName: (text: string) => SecretName;
  readonly nextNonce: () => string;
  readonly observer: SdsObserver;
  readonly clock: Clock;
}

/**
 * Serves one stream until the client ends it.
 * @throws GrpcError when a request cannot be served, now or later
 */
export async function serveSdsStream(call: ServerStreamCall, options: SdsStreamOptions): Promise<void> {
  const stream = new SdsStream(call, options);
  try {
    await stream.run();
  } finally {
    stream.close();
  }
}

class SdsStream implements SecretReader {
  readonly #call: ServerStreamCall;
  readonly #options: SdsStreamOptions;
  readonly #subscription: Subscription<EncodedSecret>;
  readonly #leases = new Map<string, Disposable>();
  readonly #failed = Promise.withResolvers<never>();
  #sending: Promise<void> | undefined;
  #isClosed = false;

  constructor(call: ServerStreamCall, options: SdsStreamOptions) {
    this.#call = call;
    this.#options = options;
    this.#subscription = new Subscription(options);
    this.#failed.promise.catch(() => undefined);
    options.observer.opened();
  }

  async run(): Promise<void> {
    const reading = this.#read();
    reading.catch(() => undefined);
    await Promise.race([reading, this.#failed.promise]);
  }

  close(): void {
    this.#isClosed = true;
    for (const name of this.#subscription.names) this.#options.observer.unsubscribed(name);
    for (const lease of this.#leases.values()) lease[Symbol.dispose]();
    this.#leases.clear();
    this.#options.observer.closed();
  }

  offer(text: string, secret: EncodedSecret): void {
    this.#subscription.offer(text, secret);
    this.#send().catch(this.#failed.reject);
  }

  refuse(name: SecretName, error: unknown): void {
    this.#failed.reject(this.#options.observer.unavailable(name, error));
  }

  isSettled(text: string): boolean {
    return this.#subscription.isSettled(text);
  }

  async #read(): Promise<void> {
    const { protocol, observer, hub } = this.#options;
    for await (const message of this.#call.requests) {
      const bytes = await readWhole(message);
      // A stream that has failed may still have read a message; nobody would end what it asks for.
      if (this.#isClosed) return;
      const step = this.#subscription.request(protocol.parseRequest(bytes));
      for (const report of step.reports) observer.report(report);
      for (const name of step.removed) this.#release(name);
      if (step.end !== undefined) throw observer.refused(endError(step.end));
      for (const name of step.added) this.#subscribe(name);
      await this.#send();
      hub.settled(this);
    }
  }

  #subscribe(name: SecretName): void {
    this.#options.observer.subscribed(name);
    this.#leases.set(name.text, this.#options.hub.subscribe(name, this));
  }

  #release(name: SecretName): void {
    this.#options.observer.unsubscribed(name);
    this.#leases.get(name.text)?.[Symbol.dispose]();
    this.#leases.delete(name.text);
  }

  /** Sends until the client has everything. What changes while a message waits for module goes with the next one. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendAll();
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    const { protocol, observer, clock } = this.#options;
    try {
      // Secrets that change in the same turn go in one message.
      await Promise.resolve();
      for (let answer = this.#subscription.take(); answer !== undefined; answer = this.#subscription.take()) {
        const startMs = clock.monotonicMs();
        await this.#call.write(protocol.renderAnswer(answer));
        observer.sent(answer, clock.monotonicMs() - startMs);
      }
    } finally {
      this.#sending = undefined;
    }
  }
}

/** The status with which a stream ends. */
export function endError(end: SubscriptionEnd): GrpcError {
  switch (end.kind) {
    case "no-node":
      return new GrpcError(GrpcStatus.invalidArgument, "missing node information: the first request needs node.id");
    case "too-many-names":
      return new GrpcError(GrpcStatus.resourceExhausted, `more than ${String(end.limit)} names on one stream`);
    case "refused-name":
      return nameError(end.error);
  }
}

/** The status that tells a client what is wrong with a name. */
function nameError(error: SecretNameError): GrpcError {
  const status = {
    unknown: GrpcStatus.notFound,
    malformed: GrpcStatus.invalidArgument,
    forbidden: GrpcStatus.permissionDenied,
  }[error.problem];
  return new GrpcError(status, error.message, { cause: error });
}
