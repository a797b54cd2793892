// SPDX-License-Identifier: Apache-2.0

/** A type that the agent itself asks the control plane for, beside Envoy. */
export interface OwnType {
  readonly typeUrl: string;
  /** Whether what was accepted last is applied at a start without a control plane, where a cache is kept. */
  readonly isKept?: boolean;
  /**
   * Puts everything there is of the type into force: each resource's bytes by its name (by its position, where the
   * protocol has no names). Empty means that there is nothing any more. Throwing refuses the answer, with the error's text.
   */
  apply(resources: ReadonlyMap<string, Uint8Array>, signal: AbortSignal): Promise<void>;
}
