// SPDX-License-Identifier: Apache-2.0

/** What the debug endpoints and the status page tell beyond readiness. What nobody provides is left out there. */
export interface Inspection {
  readonly version?: string;
  readonly certificates?: () => readonly CertificateFacts[];
  readonly xds?: () => XdsFacts;
  /** The node as Envoy and the control plane know it, as a JSON value. */
  readonly node?: () => unknown;
  /** The effective configuration as a JSON value, without secrets. */
  readonly configuration?: () => unknown;
  /** The table of the DNS proxy as pilot-agent shows it; undefined while there is none. */
  readonly nameTable?: () => unknown;
  /** How far the end has come, in a word or two. */
  readonly drain?: () => string;
  readonly logLevels?: LogLevelControl;
}

/** A certificate or root that is held. Nothing of a key. */
export interface CertificateFacts {
  /** As SDS names it: `default`, `ROOTCA`. */
  readonly resourceName: string;
  readonly spiffeId?: string;
  readonly serial?: string;
  readonly notBeforeMs?: number;
  readonly notAfterMs: number;
}

/** The configuration that passes between the control plane and Envoy. */
export interface XdsFacts {
  readonly connected: boolean;
  readonly types: readonly XdsTypeFacts[];
  /** Set while Envoy is served what was kept from before, because the control plane is silent. */
  readonly cache?: { readonly servingSinceMs: number; readonly savedAtMs: number };
}

export interface XdsTypeFacts {
  readonly typeUrl: string;
  /** In use; empty when there is none, or when the protocol has none for a type as a whole. */
  readonly version?: string;
  /** Set while the last update stands refused. */
  readonly refusal?: XdsRefusalFacts;
}

export interface XdsRefusalFacts {
  readonly version: string;
  /** Of the first refusal since the last update that was accepted. */
  readonly sinceMs: number;
  /** Those that the refusal is about, as far as they can be told. */
  readonly resources: readonly string[];
  /** In Envoy's words. */
  readonly reason: string;
}

/** The least level that is logged, by scope; `default` for the scopes without one of their own. */
export interface LogLevelControl {
  read(): ReadonlyMap<string, string>;
  /** Sets a level over the configured one; undefined returns to that. */
  override(scope: string, level: string | undefined): void;
}
