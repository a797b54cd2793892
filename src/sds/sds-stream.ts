// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { eachMessage } from "../lib/grpc/each-message.ts";
import { type IncomingMessage, readWhole } from "../lib/grpc/message.ts";
import type { ServerStreamCall } from "../lib/grpc/server.ts";
import type { SdsObserver } from "./sds-observer.ts";
import { endError, type SdsProtocol } from "./sds-protocol.ts";
import type { EncodedSecret, SecretHub, SecretSubscriber } from "./secret-hub.ts";
import type { SecretName } from "./secret-name.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";

export interface SdsStreamOptions extends SubscriptionOptions {
  readonly protocol: SdsProtocol;
  readonly hub: SecretHub;
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

class SdsStream implements SecretSubscriber {
  readonly #call: ServerStreamCall;
  readonly #options: SdsStreamOptions;
  readonly #subscription: Subscription<EncodedSecret>;
  readonly #leases = new Map<string, { readonly name: SecretName; readonly lease: Disposable }>();
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
    for (const { name } of [...this.#leases.values()]) this.#release(name);
    this.#options.observer.closed();
  }

  offer(text: string, secret: EncodedSecret): void {
    this.#subscription.offer(text, secret);
    this.#send().catch(this.#failed.reject);
  }

  fail(name: SecretName, error: unknown): void {
    this.#failed.reject(this.#options.observer.unavailable(name, error));
  }

  isSettled(text: string): boolean {
    return this.#subscription.isSettled(text);
  }

  #read(): Promise<void> {
    const giveWay = (): Promise<void> => this.#options.clock.delay(0, this.#call.signal);
    return eachMessage(this.#call.requests, (message) => this.#onRequest(message), { giveWay });
  }

  /** @returns false when the stream has failed */
  async #onRequest(message: IncomingMessage): Promise<boolean> {
    const { protocol, observer, hub } = this.#options;
    const bytes = await readWhole(message);
    // A stream that has failed may still have read a message; its subscriptions would never be released.
    if (this.#isClosed) return false;
    const step = this.#subscription.request(protocol.parseRequest(bytes));
    for (const report of step.reports) observer.report(report);
    for (const name of step.removed) this.#release(name);
    if (step.end !== undefined) throw observer.requestRejected(endError(step.end));
    for (const name of step.added) this.#subscribe(name);
    await this.#send();
    hub.settled(this);
    return true;
  }

  #subscribe(name: SecretName): void {
    const { observer, hub } = this.#options;
    try {
      this.#leases.set(name.text, { name, lease: hub.subscribe(name, this) });
      observer.subscribed(name);
    } catch (error) {
      throw observer.unavailable(name, error);
    }
  }

  #release(name: SecretName): void {
    const held = this.#leases.get(name.text);
    if (held === undefined) return;
    this.#leases.delete(name.text);
    held.lease[Symbol.dispose]();
    this.#options.observer.unsubscribed(name);
  }

  /** Sends until the client has everything. What changes while a response waits for flow control goes with the next one. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendAll();
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    const { protocol, observer, clock } = this.#options;
    const subscription = this.#subscription;
    try {
      // Secrets that change at the same moment share one response.
      await Promise.resolve();
      for (let response = subscription.nextResponse(); response !== undefined; response = subscription.nextResponse()) {
        const startMs = clock.monotonicMs();
        await this.#call.write(protocol.renderResponse(response));
        observer.sent(response, clock.monotonicMs() - startMs);
      }
    } finally {
      this.#sending = undefined;
    }
  }
}
