// SPDX-License-Identifier: Apache-2.0
// What the debug endpoints and the status page show besides readiness: facts of other modules, read when somebody asks.
// Times are milliseconds since the epoch here, and ISO 8601 in JSON; docs/status.md has the JSON form.
import type { BudgetFacts } from "../lib/budget-set.ts";
import type { EnvoyAdminAddress } from "../model/bootstrap-facts.ts";

/** Absent parts are left out in the output. */
export interface Inspection {
  readonly version?: string;
  readonly agent?: () => AgentFacts;
  /** Asks Envoy, for a short time. Undefined when the agent runs without Envoy. */
  readonly envoy?: () => Promise<EnvoyFacts>;
  readonly workload?: () => WorkloadFacts;
  /** Undefined where no CA or provider of this agent issues the certificate. */
  readonly ca?: () => CaFacts | undefined;
  readonly controlPlane?: () => ControlPlaneFacts;
  readonly certificates?: () => readonly CertificateFacts[];
  readonly roots?: () => readonly RootFacts[];
  /** The public part of the workload's identity as PEM, and where SDS serves it, as a JSON value. */
  readonly identity?: () => unknown;
  readonly xds?: () => XdsFacts;
  /** The last warnings and errors of the log, newest first. */
  readonly lastErrors?: () => readonly LoggedProblem[];
  /** What the flight recorder holds, as a JSON value. */
  readonly events?: () => unknown;
  /** The node as Envoy and the control plane know it, as a JSON value. */
  readonly node?: () => unknown;
  /** The effective configuration as a JSON value, without secrets. */
  readonly configuration?: () => unknown;
  /** Where Envoy's admin interface is: `{"host", "port"}` or `{"socketPath"}`. */
  readonly envoyAdmin?: () => EnvoyAdminAddress;
  /** The table of the DNS proxy in pilot-agent's format, in pieces of JSON; undefined while there is none. */
  readonly nameTable?: () => AsyncIterable<string> | undefined;
  /** Progress of a drain, in a word or two. */
  readonly drain?: () => string;
  readonly budgets?: () => readonly BudgetFacts[];
  readonly logLevels?: LogLevelControl;
  readonly envoyLogLevels?: EnvoyLogControl;
}

export interface AgentFacts {
  readonly version: string;
  /** The commit that it was built from. */
  readonly revision: string;
  /** Node.js. */
  readonly node: string;
  readonly pid: number;
  readonly startedAtMs: number;
}

export interface EnvoyFacts {
  /** Undefined while it is not known. */
  readonly version: string | undefined;
  /** Envoy's word, such as `LIVE`; `EXITED` or `NO RESPONSE` where it has none. */
  readonly state: string;
  /** Of the last start, also when it has exited. */
  readonly pid: number;
  readonly startedAtMs: number;
  readonly restarts: EnvoyRestartFacts;
  /** `127.0.0.1:15000`, or the path of a Unix socket. */
  readonly adminAddress: string;
}

export interface EnvoyRestartFacts {
  readonly count: number;
  readonly hotRestarts: number;
  readonly failedHotRestarts: number;
  readonly failures: number;
  /** Why Envoy exited the last time; undefined while it never failed. */
  readonly lastFailure: string | undefined;
}

export interface WorkloadFacts {
  /** As in the control plane: `sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local`. */
  readonly id: string;
  readonly cluster: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A failure, also one that was followed by a success. */
export interface FailureFacts {
  readonly atMs: number;
  readonly reason: string;
}

/** Who issues the workload certificate. */
export interface CaFacts {
  /** `istio`, `vault`, `step`, `kubernetes-csr`, `embedded`; or the provider's kind, such as `workload-api`. */
  readonly kind: string;
  /** `host:port`, or a path; several in their order are separated by commas. */
  readonly address: string;
  /** When a certificate was received last. */
  readonly lastSuccessAtMs: number | undefined;
  readonly lastFailure: FailureFacts | undefined;
  /** Since when every attempt has failed; undefined while the last one succeeded. */
  readonly failingSinceMs: number | undefined;
  readonly failuresInARow: number;
}

export interface ControlPlaneFacts {
  /** Of the last connection; before the first one those of the configuration, separated by commas. */
  readonly address: string;
  /** Whether a stream to it is open. */
  readonly connected: boolean;
  /** When that became so; undefined before the first attempt. */
  readonly sinceMs: number | undefined;
  readonly lastResponseAtMs: number | undefined;
  readonly lastFailure: FailureFacts | undefined;
}

/** A certificate in use, without any part of its key. */
export interface CertificateFacts {
  /** As in SDS: `default`. */
  readonly resourceName: string;
  readonly spiffeId?: string;
  readonly serial?: string;
  /** Distinguished name on one line. */
  readonly issuer?: string;
  readonly notBeforeMs?: number;
  readonly notAfterMs: number;
  /** Undefined where a provider renews it. */
  readonly nextRenewalAtMs?: number;
}

/** A trusted root. */
export interface RootFacts {
  /** Distinguished name on one line. */
  readonly subject: string;
  readonly notAfterMs: number;
  /** Of the certificate, in lower-case hexadecimal. */
  readonly sha256: string;
  /** Set for a root that verifies one trust domain only. */
  readonly trustDomain?: string;
}

/** The configuration that passes between the control plane and Envoy. */
export interface XdsFacts {
  readonly connected: boolean;
  readonly types: readonly XdsTypeFacts[];
  /** Set while Envoy is served from the cache because the control plane is unreachable. */
  readonly cache?: { readonly servingSinceMs: number; readonly savedAtMs: number };
}

export interface XdsTypeFacts {
  readonly typeUrl: string;
  /** In use; empty when there is none, or when the control plane names none for the type as a whole. */
  readonly version?: string;
  /** STALE: sent and not acknowledged yet. */
  readonly state?: "SYNCED" | "STALE" | "NACKED" | "NOT SENT";
  /** Of the last response. */
  readonly versionSent?: string;
  readonly lastSentAtMs?: number;
  readonly lastAckedAtMs?: number;
  /** Resources that Envoy has, or those of the last response; absent where that is not known. */
  readonly resourceCount?: number;
  /** Set for types that the agent itself reads: the name table, the mesh's configuration. */
  readonly readBy?: "agent";
  /** Set while the last update is rejected. */
  readonly refusal?: XdsRefusalFacts;
}

export interface XdsRefusalFacts {
  readonly version: string;
  /** Of the first rejection since the last accepted update. */
  readonly sinceMs: number;
  /** The rejected resources, as far as they are known. */
  readonly resources: readonly string[];
  /** Envoy's error message. */
  readonly reason: string;
}

/** A warning or an error of the agent's log. */
export interface LoggedProblem {
  readonly atMs: number;
  readonly level: "warn" | "error";
  /** Empty for the default scope. */
  readonly scope: string;
  /** One line: the message and its fields. */
  readonly text: string;
}

/** The levels of the loggers of the Envoy that runs now. */
export interface EnvoyLogControl {
  /** By logger, in Envoy's words. @throws when Envoy does not respond */
  read(signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
  /** Sets the levels of the loggers that are named. @throws when Envoy does not respond */
  set(levels: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** The process: another one after a restart. */
  process(): number;
}

/** The minimum level that is logged, by scope; `default` for scopes without a level of their own. */
export interface LogLevelControl {
  read(): ReadonlyMap<string, string>;
  /** Overrides the configured level; undefined restores it. */
  override(scope: string, level: string | undefined): void;
}
