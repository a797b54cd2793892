// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { SdsObserver } from "./sds-observer.ts";
import { endError } from "./sds-stream.ts";
import type { EncodedSecret, SecretHub } from "./secret-hub.ts";
import type { SecretName } from "./secret-name.ts";
import { stateOfTheWorld } from "./state-of-the-world.ts";
import { Subscription, type SubscriptionAnswer } from "./subscription.ts";

interface FetchOptions {
  readonly hub: SecretHub;
  readonly parseName: (text: string) => SecretName;
  readonly nextNonce: () => string;
  readonly observer: SdsObserver;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How long a caller without a deadline of its own waits for secrets that are not there yet. */
const longestFetchMs = 10_000;

/**
 * Answers one request with all the secrets that it names, as soon as all are there.
 * @throws GrpcError when a name is refused, or after the time in which the secrets did not come
 */
export async function fetchSecrets(bytes: Uint8Array, options: FetchOptions): Promise<Uint8Array> {
  const request = stateOfTheWorld.parseRequest(bytes);
  const subscription = new Subscription<EncodedSecret>(options);
  const step = subscription.request({ ...request, nonce: "", rejection: undefined });
  if (step.end !== undefined) throw options.observer.refused(endError(step.end));
  if (step.added.length === 0) {
    throw options.observer.refused(new GrpcError(GrpcStatus.invalidArgument, "the request names no secret"));
  }
  const answer = await untilAnswered(subscription, step.added, options);
  options.observer.sent(answer, 0);
  return stateOfTheWorld.renderAnswer(answer);
}

async function untilAnswered(
  subscription: Subscription<EncodedSecret>,
  names: readonly SecretName[],
  { hub, observer, clock, signal }: FetchOptions,
): Promise<SubscriptionAnswer<EncodedSecret>> {
  const missing = new Set(names.map((name) => name.text));
  const complete = Promise.withResolvers<undefined>();
  complete.promise.catch(() => undefined);
  using leases = new DisposableStack();
  for (const name of names) {
    const lease = hub.subscribe(name, {
      offer: (text, secret) => {
        subscription.offer(text, secret);
        missing.delete(text);
        if (missing.size === 0) complete.resolve(undefined);
      },
      refuse: (refused, error) => {
        complete.reject(observer.unavailable(refused, error));
      },
      isSettled: () => true,
    });
    leases.use(lease);
  }
  using limit = deadline(clock, longestFetchMs, signal);
  try {
    await orAborted(complete.promise, limit.signal);
  } catch (error) {
    if (error instanceof GrpcError) throw error;
    throw new GrpcError(GrpcStatus.unavailable, `no secret yet for ${[...missing].join(", ")}`, { cause: error });
  }
  const answer = subscription.take();
  if (answer === undefined) throw new Error("a complete subscription has nothing to send");
  return answer;
}
