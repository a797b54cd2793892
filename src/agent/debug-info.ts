// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import { buildInfo } from "../lib/build-info.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { RecordedEvents } from "../recorder/index.ts";
import type { CertificateFacts, Inspection } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";
import { caAddresses } from "./ca-address.ts";
import type { DnsProxy } from "./discovery.ts";
import type { EnvoyLifecycle } from "./envoy-lifecycle.ts";
import type { Identity } from "./identity.ts";
import type { Shutdown, StartPhases } from "./lifecycle.ts";
import type { ModuleDeps } from "./types.ts";
import { controlPlaneFacts, readXdsFacts } from "./xds-facts.ts";

interface DebugInfoSources {
  readonly config: AgentConfig;
  readonly identity: Identity;
  readonly xds: XdsProxy | undefined;
  readonly dns: DnsProxy | undefined;
  readonly shutdown: Shutdown;
  /** Undefined without Envoy. */
  readonly envoy: Pick<SupervisedEnvoy, "current"> | undefined;
  readonly lifecycle: Pick<EnvoyLifecycle, "info" | "logLevels">;
  readonly start: {
    readonly phases: Pick<StartPhases, "sinceStartMs">;
    /** The last warnings and errors of the log. */
    readonly problems: NonNullable<Inspection["lastErrors"]>;
    /** What the flight recorder holds. */
    readonly events: () => RecordedEvents;
  };
}

function eventFacts({ events, forgotten }: RecordedEvents): unknown {
  const shown = events.map(({ timeMs, level, text }) => ({ time: new Date(timeMs).toISOString(), level, text }));
  return { forgotten, events: shown };
}

/** The content of the debug endpoints, by module. Each part is read when it is asked for. */
export function createDebugInfo(
  { config, identity, xds, dns, shutdown, envoy, lifecycle, start }: DebugInfoSources,
  { logLevels, redact, budgets, clock }: Pick<ModuleDeps, "logLevels" | "redact" | "budgets" | "clock">,
): Inspection {
  const { version, revision } = buildInfo;
  const { info, logLevels: envoyLogLevels } = lifecycle;
  const startedAtMs = Math.round(clock.now() - start.phases.sinceStartMs());
  return {
    version: `${version} ${revision}`,
    agent: () => ({ version, revision, node: process.versions.node, pid: process.pid, startedAtMs }),
    workload: () => workloadFacts(config),
    ca: () => caFacts(config, identity),
    certificates: () => certificateFacts(identity),
    roots: () => rootFacts(identity),
    lastErrors: () => start.problems(),
    events: () => eventFacts(start.events()),
    identity: () => publicIdentity(config, identity),
    node: () => redact({ ...config.node, locality: { ...config.node.locality } }),
    configuration: () => redact(config.proxyConfig),
    nameTable: () => dns?.debugTable(),
    drain: () => shutdown.reason() ?? (shutdown.shouldDrain ? "not draining" : "draining by request"),
    budgets: () => budgets.facts(),
    logLevels,
    ...(envoyLogLevels === undefined ? {} : { envoyLogLevels }),
    ...(info === undefined ? {} : { envoy: () => info.facts() }),
    ...(envoy === undefined ? {} : { envoyAdmin: () => ({ ...envoy.current.admin }) }),
    ...(xds === undefined
      ? {}
      : {
          xds: () => readXdsFacts(xds),
          controlPlane: () => controlPlaneFacts(xds.status(), controlPlaneAddresses(config)),
        }),
  };
}

/** No part of it is secret: every peer of the workload receives the chain. */
function publicIdentity({ identity, sds }: AgentConfig, { certs }: Identity): unknown {
  const { chainPem, trust } = certs?.published() ?? {};
  const domains = trust?.domains ?? (trust === undefined ? [] : [{ rootsPem: trust.rootsPem, isOwn: true }]);
  const sdsSocketPath = resolve(identity.kind === "external-sds" ? identity.socketPath : sds.socketPath);
  const { state, source, rotationDueMs, attempts, failuresInARow, lastError } = certs?.status() ?? {};
  const renewal = { state, source, rotationDueMs, attempts, failuresInARow, lastError };
  return { sdsSocketPath, chainPem, roots: domains, ...(certs === undefined ? {} : { renewal }) };
}

function workloadFacts({ node, cert }: AgentConfig) {
  const { id, cluster, name, namespace } = node;
  return { id, cluster, name, namespace, serviceAccount: cert.identity.serviceAccount };
}

function controlPlaneAddresses({ xds }: AgentConfig): string {
  return xds.kind === "files" ? "" : xds.proxy.upstream.addresses.map(formatHostPort).join(", ");
}

/** Where certificates come from: one of the configured CAs, or the provider. */
function issuerOf({ identity, ca }: AgentConfig): { readonly kind: string; readonly address: string } {
  switch (identity.kind) {
    case "ca": {
      const all = caAddresses(ca);
      return { kind: all.map(({ kind }) => kind).join(", "), address: all.map(({ address }) => address).join(", ") };
    }
    case "mounted-files":
      return { kind: identity.kind, address: identity.chainPath };
    case "workload-api": {
      const { endpoint } = identity;
      return { kind: identity.kind, address: endpoint.kind === "unix" ? endpoint.path : formatHostPort(endpoint) };
    }
    case "external-sds":
      return { kind: identity.kind, address: identity.socketPath };
  }
}

function caFacts(config: AgentConfig, identity: Identity) {
  const status = identity.status();
  if (status === undefined) return undefined;
  const { lastSuccessMs, lastFailure, failingSinceMs, failuresInARow } = status;
  return { ...issuerOf(config), lastSuccessAtMs: lastSuccessMs, lastFailure, failingSinceMs, failuresInARow };
}

/** Empty before the first certificate, and where another process serves it. */
function certificateFacts(identity: Identity): readonly CertificateFacts[] {
  const { spiffeId, serial, notBeforeMs, notAfterMs, rotationDueMs } = identity.status() ?? {};
  if (spiffeId === undefined || serial === undefined || notBeforeMs === undefined || notAfterMs === undefined) {
    return [];
  }
  const issuer = identity.certs?.inspect().issuer;
  const facts = { resourceName: "default", spiffeId, serial, notBeforeMs, notAfterMs };
  return [
    {
      ...facts,
      ...(issuer === undefined ? {} : { issuer }),
      ...(rotationDueMs === undefined ? {} : { nextRenewalAtMs: Math.round(rotationDueMs) }),
    },
  ];
}

function rootFacts(identity: Identity) {
  const roots = identity.certs?.inspect().roots ?? [];
  return roots.map(({ trustDomain, ...root }) => (trustDomain === undefined ? root : { ...root, trustDomain }));
}
