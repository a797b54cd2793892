// SPDX-License-Identifier: Apache-2.0
import { objectOf, objectsOf, parseJsonObject, textOf } from "../lib/json.ts";

/** A listener that Envoy does not accept. */
export interface ListenerError {
  /** `listener inbound`; without a name where Envoy gives none: `a listener`. */
  readonly what: string;
  readonly reason: string;
}

/** Asks Envoy's admin interface for what `readListenerErrors` reads, and no more. */
export const listenerErrorsPath = "/config_dump?resource=dynamic_listeners&mask=name,error_state.details";

/**
 * The listeners that Envoy rejected last. Envoy tells a failed update twice if the listener is there in another version:
 * with the listener's name, and without. Each reason is returned once.
 * Source: envoy.admin.v3.ListenersConfigDump: `error_state`; observed with Envoy 1.40
 */
export function readListenerErrors(dump: string): readonly ListenerError[] {
  const entries = objectsOf(parseJsonObject(dump)?.["configs"]).map((entry) => ({
    name: textOf(entry["name"]),
    reason: textOf(objectOf(entry["error_state"])["details"]),
  }));
  const named = new Set(entries.filter(({ name }) => name !== "").map(({ reason }) => reason));
  const seen = new Set<string>();
  return entries.flatMap(({ name, reason }) => {
    const isRepeated = name === "" && (named.has(reason) || seen.has(reason));
    if (reason === "" || isRepeated) return [];
    seen.add(reason);
    return [{ what: name === "" ? "a listener" : `listener ${name}`, reason }];
  });
}
