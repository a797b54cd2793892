// SPDX-License-Identifier: Apache-2.0
import { bothExpected, type ExpectedUpdates } from "../model/bootstrap-facts.ts";
import type { EnvoyReadiness, EnvoyState } from "../model/envoy-readiness.ts";
import { objectsOf, parseJsonObject, textsOf } from "../lib/json.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import { parseStats } from "./admin-responses.ts";

/** What the reference's readiness prober reads in two requests, observed on the wire, and the failures to read a file. */
const stateNames = String.raw`server\.state$|listener_manager\.workers_started$`;
const updateNames = String.raw`(cluster_manager\.cds|listener_manager\.lds)\.update_(success|rejected|failure)$`;
/** For a bootstrap that could not be read: an attempt shows what it receives. */
const attemptNames = String.raw`(cluster_manager\.cds|listener_manager\.lds)\.update_(attempt|success|rejected|failure)$`;
const timeoutMs = 3_000;

/** In the order of Envoy's numbers. Source: envoy.admin.v3.ServerInfo.State */
const states: readonly EnvoyState[] = ["LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"];

/**
 * Reads Envoy's readiness from its stats, with one request: each one costs Envoy and agent about a millisecond of the start.
 * Where the bootstrap hides these stats, the state of the server is asked for: it is live after the first response to all
 * its subscriptions.
 * @throws EnvoyAdminError while the admin interface does not respond
 */
export async function readEnvoyReadiness(
  admin: EnvoyAdmin,
  expects: ExpectedUpdates = bothExpected,
  signal?: AbortSignal,
): Promise<EnvoyReadiness> {
  if (expects.kind === "hidden") return hiddenReadiness((await admin.serverInfo(signal)).state);
  const updates = expects.kind === "unknown" ? attemptNames : updateNames;
  const stats = await admin.stats(`^(${updates}|${stateNames})`, { timeoutMs }, signal);
  const readiness = parseEnvoyReadiness(stats);
  return expects === bothExpected ? readiness : { ...readiness, ...expectedOf(expects, stats) };
}

type Expected = Pick<EnvoyReadiness, "expectsClusters" | "expectsListeners">;

function expectedOf(expects: Exclude<ExpectedUpdates, { kind: "hidden" }>, stats: string): Expected {
  if (expects.kind === "known") return { expectsClusters: expects.clusters, expectsListeners: expects.listeners };
  return {
    expectsClusters: stats.includes("cluster_manager.cds."),
    expectsListeners: stats.includes("listener_manager.lds."),
  };
}

function hiddenReadiness(state: string): EnvoyReadiness {
  const known = states.find((name) => name === state) ?? "UNKNOWN";
  const counts = { cdsUpdates: 0, cdsRejected: 0, ldsUpdates: 0, ldsRejected: 0 };
  const nothing = { expectsClusters: false, expectsListeners: false };
  return { ...counts, ...nothing, state: known, workersStarted: known === "LIVE" };
}

/** @param text the stats as Envoy lists them */
export function parseEnvoyReadiness(text: string): EnvoyReadiness {
  const stats = parseStats(text);
  const stateNumber = stats.get("server.state");
  const workers = stats.get("listener_manager.workers_started");
  return {
    cdsUpdates: stats.get("cluster_manager.cds.update_success") ?? 0,
    cdsRejected: stats.get("cluster_manager.cds.update_rejected") ?? 0,
    ldsUpdates: stats.get("listener_manager.lds.update_success") ?? 0,
    ldsRejected: stats.get("listener_manager.lds.update_rejected") ?? 0,
    cdsFailed: stats.get("cluster_manager.cds.update_failure") ?? 0,
    ldsFailed: stats.get("listener_manager.lds.update_failure") ?? 0,
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
