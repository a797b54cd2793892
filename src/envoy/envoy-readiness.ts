// SPDX-License-Identifier: Apache-2.0
import { bothExpected, type ExpectedUpdates } from "../model/bootstrap-facts.ts";
import type { EnvoyReadiness, EnvoyState } from "../model/envoy-readiness.ts";
import { objectsOf, parseJsonObject, textsOf } from "../lib/json.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import { parseStats } from "./admin-responses.ts";

/** Filters of the two requests. Source: the reference's readiness prober, observed on the wire. */
const updatesFilter = String.raw`^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$`;
const stateFilter = String.raw`^(server\.state|listener_manager\.workers_started)`;
const updatesTimeoutMs = 1_000;
const stateTimeoutMs = 3_000;

/** For a bootstrap that could not be read: an attempt shows what it receives. */
const attemptsFilter = String.raw`^(cluster_manager\.cds|listener_manager\.lds)\.update_(attempt|success|rejected)$`;

/** In the order of Envoy's numbers. Source: envoy.admin.v3.ServerInfo.State */
const states: readonly EnvoyState[] = ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"];

/**
 * Reads Envoy's readiness from its stats, with two requests at once. Where the bootstrap hides these stats, the state of
 * the server is asked for: it is live after the first response to all its subscriptions.
 * @throws EnvoyAdminError while the admin interface does not respond
 */
export async function readEnvoyReadiness(
  admin: EnvoyAdmin,
  expects: ExpectedUpdates = bothExpected,
  signal?: AbortSignal,
): Promise<EnvoyReadiness> {
  if (expects.kind === "hidden") return hiddenReadiness((await admin.serverInfo(signal)).state);
  const failed = new AbortController();
  const ends = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  try {
    const [updates, state] = await Promise.all([
      admin.stats(expects.kind === "unknown" ? attemptsFilter : updatesFilter, { timeoutMs: updatesTimeoutMs }, ends),
      admin.stats(stateFilter, { timeoutMs: stateTimeoutMs }, ends),
    ]);
    const readiness = parseEnvoyReadiness(updates, state);
    return expects === bothExpected ? readiness : { ...readiness, ...expectedOf(expects, updates) };
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

type Expected = Pick<EnvoyReadiness, "expectsClusters" | "expectsListeners">;

function expectedOf(expects: Exclude<ExpectedUpdates, { kind: "hidden" }>, updates: string): Expected {
  if (expects.kind === "known") return { expectsClusters: expects.clusters, expectsListeners: expects.listeners };
  return {
    expectsClusters: updates.includes("cluster_manager.cds."),
    expectsListeners: updates.includes("listener_manager.lds."),
  };
}

function hiddenReadiness(state: string): EnvoyReadiness {
  const known = states.find((name) => name === state) ?? "UNKNOWN";
  const counts = { cdsUpdates: 0, cdsRejected: 0, ldsUpdates: 0, ldsRejected: 0 };
  const nothing = { expectsClusters: false, expectsListeners: false };
  return { ...counts, ...nothing, state: known, workersStarted: known === "LIVE" };
}

/** @param updates response to the first request @param state response to the second */
export function parseEnvoyReadiness(updates: string, state: string): EnvoyReadiness {
  const counters = parseStats(updates);
  const gauges = parseStats(state);
  const stateNumber = gauges.get("server.state");
  const workers = gauges.get("listener_manager.workers_started");
  return {
    cdsUpdates: counters.get("cluster_manager.cds.update_success") ?? 0,
    cdsRejected: counters.get("cluster_manager.cds.update_rejected") ?? 0,
    ldsUpdates: counters.get("listener_manager.lds.update_success") ?? 0,
    ldsRejected: counters.get("listener_manager.lds.update_rejected") ?? 0,
    state: stateNumber === undefined ? undefined : (states[stateNumber] ?? "UNKNOWN"),
    workersStarted: workers === undefined ? undefined : workers === 1,
  };
}

/**
 * What Envoy waits for before it starts its workers, as Envoy names it, such as `SdsApi default`; empty when it waits
 * for nothing.
 * @throws EnvoyAdminError while the admin interface does not respond
 */
export async function readInitTargets(
  admin: Pick<EnvoyAdmin, "request">,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return parseInitTargets(await admin.request("GET", "/init_dump", {}, signal));
}

/** Source: envoy.admin.v3.UnreadyTargetsDumps; the names of targets as observed with Envoy 1.40 */
export function parseInitTargets(json: string): readonly string[] {
  const dumps = objectsOf(parseJsonObject(json)?.["unready_targets_dumps"]);
  const targets = dumps.flatMap((dump) => textsOf(dump["target_names"]));
  return [...new Set(targets.flatMap((target) => /^(?:shared )?target (.*)$/s.exec(target)?.[1] ?? []))];
}
