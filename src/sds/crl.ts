// SPDX-License-Identifier: Apache-2.0
import { runTasks } from "../lib/async/tasks.ts";
import { ObservableValue } from "../lib/async/observable-value.ts";
import type { Secret } from "../model/secret.ts";
import type { CrlSource } from "./secret-source.ts";

/** A secret with the revocation list that goes with it, if any. */
export interface SecretWithCrl {
  readonly secret: Secret;
  readonly crlPem: string | undefined;
}

/**
 * Yields the newest secret with the newest list, after each change of either. Waits for both at first, so that roots
 * never go out without the list that is there.
 * @throws what either source throws
 */
export async function* withCrl(
  secrets: (signal: AbortSignal) => AsyncIterable<Secret>,
  crl: CrlSource,
  signal: AbortSignal,
): AsyncGenerator<SecretWithCrl, void, undefined> {
  const newest = new ObservableValue<SecretWithCrl>();
  let secret: Secret | undefined;
  let list: { readonly crlPem: string | undefined } | undefined;
  const publish = (): void => {
    if (secret !== undefined && list !== undefined) newest.set({ secret, crlPem: list.crlPem });
  };
  const ended = new AbortController();
  const reading = runTasks(AbortSignal.any([signal, ended.signal]), [
    async (stop) => {
      for await (secret of secrets(stop)) publish();
    },
    async (stop) => {
      for await (const crlPem of crl.watch(stop)) {
        list = { crlPem };
        publish();
      }
    },
  ]);
  const over = reading
    .catch(() => undefined)
    .then(() => {
      ended.abort();
    });
  try {
    yield* newest.watch(ended.signal);
    await reading;
  } finally {
    ended.abort();
    await over;
  }
}
