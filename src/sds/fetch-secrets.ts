// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { SdsObserver } from "./sds-observer.ts";
import { endError, stateOfTheWorld } from "./sds-protocol.ts";
import type { EncodedSecret, SecretHub } from "./secret-hub.ts";
import type { SecretName } from "./secret-name.ts";
import { Subscription, type SubscriptionOptions, type SubscriptionResponse } from "./subscription.ts";

interface FetchOptions extends SubscriptionOptions {
  readonly hub: SecretHub;
  readonly observer: SdsObserver;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How long a fetch waits for secrets that do not exist yet, when the caller has no shorter deadline. */
const maxFetchMs = 10_000;

/**
 * Serves `FetchSecrets`: one response with all requested secrets, as soon as all exist.
 * @throws GrpcError when a name is rejected, or when the secrets did not come in time
 */
export async function fetchSecrets(bytes: Uint8Array, options: FetchOptions): Promise<Uint8Array> {
  const { observer } = options;
  const request = stateOfTheWorld.parseRequest(bytes);
  const subscription = new Subscription<EncodedSecret>(options);
  const step = subscription.request({ ...request, nonce: "", rejection: undefined });
  if (step.end !== undefined) throw observer.requestRejected(endError(step.end));
  if (step.added.length === 0) {
    throw observer.requestRejected(new GrpcError(GrpcStatus.invalidArgument, "the request names no secret"));
  }
  const response = await untilComplete(subscription, step.added, options);
  observer.sent(response, 0);
  return stateOfTheWorld.renderResponse(response);
}

async function untilComplete(
  subscription: Subscription<EncodedSecret>,
  names: readonly SecretName[],
  { hub, observer, clock, signal }: FetchOptions,
): Promise<SubscriptionResponse<EncodedSecret>> {
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
      fail: (failed, error) => {
        complete.reject(observer.unavailable(failed, error));
      },
      isSettled: () => true,
    });
    leases.use(lease);
  }
  using limit = deadline(clock, maxFetchMs, signal);
  try {
    await orAborted(complete.promise, limit.signal);
  } catch (error) {
    if (error instanceof GrpcError) throw error;
    throw new GrpcError(GrpcStatus.unavailable, `no secret yet for ${[...missing].join(", ")}`, { cause: error });
  }
  const response = subscription.nextResponse();
  if (response === undefined) throw new Error("a complete subscription has nothing to send");
  return response;
}
