// SPDX-License-Identifier: Apache-2.0
import { untilAborted } from "../lib/async/tasks.ts";
import type { CaClient } from "./ca-client.ts";

/** What is known of a client before it is loaded. */
export interface LazyClientTraits {
  readonly mayBeAskedTwice: boolean;
  readonly canBeReached: boolean;
}

/** A client that is loaded at its first call. */
export function createLazyClient(load: () => Promise<CaClient>, traits: LazyClientTraits): CaClient {
  let loading: Promise<CaClient> | undefined;
  const client = (): Promise<CaClient> => (loading ??= load());
  const untilReachable = async (signal: AbortSignal): Promise<void> =>
    (await client()).untilReachable?.(signal) ?? untilAborted(signal);
  return {
    sign: async (request, signal) => (await client()).sign(request, signal),
    mayBeAskedTwice: traits.mayBeAskedTwice,
    untilChanged: async (signal) => (await client()).untilChanged(signal),
    ...(traits.canBeReached ? { untilReachable } : {}),
    async [Symbol.asyncDispose]() {
      if (loading !== undefined) await (await loading)[Symbol.asyncDispose]();
    },
  };
}
