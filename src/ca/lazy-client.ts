// SPDX-License-Identifier: Apache-2.0
import type { CaClient } from "./ca-client.ts";

/** A client that is loaded at its first call. */
export function createLazyClient(load: () => Promise<CaClient>, mayBeAskedTwice: boolean): CaClient {
  let loading: Promise<CaClient> | undefined;
  const client = (): Promise<CaClient> => (loading ??= load());
  return {
    sign: async (request, signal) => (await client()).sign(request, signal),
    mayBeAskedTwice,
    untilChanged: async (signal) => (await client()).untilChanged(signal),
    async [Symbol.asyncDispose]() {
      if (loading !== undefined) await (await loading)[Symbol.asyncDispose]();
    },
  };
}
