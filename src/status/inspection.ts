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
}

export interface XdsTypeFacts {
  readonly typeUrl: string;
  readonly version?: string;
  readonly accepted: number;
  readonly rejected: number;
  /** What Envoy said about the last update that it refused. */
  readonly lastRejection?: string;
}

/** The least level that is logged, by scope; `default` for the scopes without one of their own. */
export interface LogLevelControl {
  read(): ReadonlyMap<string, string>;
  /** Sets a level over the configured one; undefined returns to that. */
  override(scope: string, level: string | undefined): void;
}
