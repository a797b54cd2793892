// SPDX-License-Identifier: Apache-2.0
import { staticAddresses } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { loadTakenPorts, PortsTakenError, type SupervisedEnvoy, type WantedAddress } from "../envoy/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import type { JsonObject } from "../lib/json.ts";

export interface PortCheckOptions {
  readonly config: AgentConfig;
  /** Undefined for a file that Envoy reads unchanged, which is not checked. */
  readonly document: JsonObject | undefined;
  readonly envoy: Pick<SupervisedEnvoy, "pids" | "exited"> | undefined;
}

/** The start waits so long at most. */
const startWaitsMs = 1_000;
/** By then Envoy listens at its own addresses, or has ended because of one that it cannot share. */
const boundWithinMs = 10_000;

/**
 * Checks, while Envoy starts, that no other process listens on the ports of its listeners, which Envoy would share with
 * that process. Later Envoys of this agent are not checked: they take over from the one before.
 * @returns the error, with all ports that are taken, those of the agent and the admin interface too. An Envoy that has
 * not reached its listeners by then is watched; the error then goes to `fail`
 */
export async function checkPorts(
  { config, document, envoy }: PortCheckOptions,
  { clock, fail }: { readonly clock: Clock; readonly fail: (error: unknown) => void },
  stop: AbortSignal,
): Promise<PortsTakenError | undefined> {
  if (document === undefined || envoy === undefined) return undefined;
  const { listeners, admin } = staticAddresses(document);
  const shared = listeners.map((address) => ({ ...address, setting: portSetting(config, address.port) }));
  const others = [...(admin === undefined ? [] : [{ ...admin, setting: "proxyAdminPort" }]), ...ownAddresses(config)];
  const { untilPortsShared } = await loadTakenPorts();
  const ownPids = (): readonly number[] => [process.pid, ...envoy.pids];
  // A port that the other process does not share ends Envoy, which says so.
  const exited = new AbortController();
  void envoy.exited.then(() => {
    exited.abort();
  });
  const signal = AbortSignal.any([stop, exited.signal]);
  const errorWithin = async (withinMs: number): Promise<PortsTakenError | "pending" | undefined> => {
    const taken = await untilPortsShared([...shared, ...others], { ownPids, withinMs }, clock, signal);
    if (taken === "free") return undefined;
    if (taken === "pending") return "pending";
    // A port of the agent or of the admin interface alone has an error of its own.
    const isSilent = taken.some(({ port }) => shared.some((address) => address.port === port));
    return isSilent ? new PortsTakenError(taken) : undefined;
  };
  const error = await errorWithin(startWaitsMs);
  if (error !== "pending") return error;
  void errorWithin(boundWithinMs).then((late) => {
    if (late instanceof PortsTakenError) fail(late);
  }, fail);
  return undefined;
}

/** Where the agent itself listens. */
function ownAddresses({ status, dns }: AgentConfig): readonly WantedAddress[] {
  const addresses: WantedAddress[] = [];
  for (const host of ["::", "0.0.0.0"]) {
    if (status.port !== 0) addresses.push({ host, port: status.port, setting: "statusPort" });
  }
  if (dns !== undefined) {
    const { host, port } = dns.listen;
    addresses.push({ host: host === "localhost" ? "127.0.0.1" : host, port, setting: "DNS_PROXY_ADDR" });
  }
  return addresses;
}

/** The setting that moves a listener of the generated bootstrap; empty for another listener. */
export function portSetting({ bootstrap }: AgentConfig, port: number): string {
  if (bootstrap.kind !== "generated") return "";
  const { status, prometheus, secureMetrics, secureMergedMetrics } = bootstrap.config.ports;
  const settings = new Map([
    [secureMergedMetrics, "ENVOY_SECURE_MERGED_METRICS_PORT"],
    [secureMetrics, "ENVOY_SECURE_METRICS_PORT"],
    [prometheus, "ENVOY_PROMETHEUS_PORT"],
    [status, "ENVOY_STATUS_PORT"],
  ]);
  return settings.get(port) ?? "";
}
