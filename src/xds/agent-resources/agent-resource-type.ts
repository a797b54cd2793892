// SPDX-License-Identifier: Apache-2.0
import type { OutageLog } from "../../lib/log/outage-log.ts";
import type { TimeSlice } from "../../lib/async/time-slice.ts";
import type { Budget } from "../../lib/budget.ts";
import { shortTypeName } from "../protocol/type-url.ts";
import type { AgentResourceOutcome, AgentResourceOutcomes } from "./agent-resource-outcomes.ts";
import type { XdsMetrics } from "../xds-metrics.ts";

/** A resource type that the agent itself subscribes to, on Envoy's stream: NDS, PCDS. */
export interface AgentResourceType {
  readonly typeUrl: string;
  /** Whether accepted responses are kept in the response cache, and applied at a start without a control plane. */
  readonly isCached?: boolean;
  /** A larger response is rejected before it is read. */
  readonly responseBytes: Budget;
  /** Starts to apply a response; waits for one that is being applied. @throws the signal's reason */
  begin(signal: AbortSignal): Promise<AgentResourceUpdate>;
}

/**
 * A response that is applied while it is received. An error of any method rejects the response; its text is in the NACK.
 * Disposing it without a commit discards it.
 */
export interface AgentResourceUpdate extends Disposable {
  /** The next bytes of a resource's message. */
  push(bytes: Uint8Array): void;
  /** The resource is complete. State of the world has no names: there it is the resource's position. */
  endResource(name: string): void;
  /** @param kept resources of earlier responses that this one does not change */
  commit(kept: ReadonlySet<string>): Promise<void>;
}

/** Keeps a response on disk. */
export interface AgentResourceRecording {
  add(bytes: Uint8Array): Promise<void>;
  /** The response is accepted. @param isWhole whether it has all resources of the type */
  keep(isWhole: boolean): void;
  discard(): void;
}

/** What an update takes in one step: some 50 services of a name table. */
export const pieceBytes = 8 * 1024;

/** Passes resources that are in memory to an update: each resource's message by its name. @throws the update's error */
export async function pushResources(
  update: AgentResourceUpdate,
  resources: ReadonlyMap<string, Uint8Array>,
  slice: TimeSlice,
): Promise<void> {
  for (const [name, bytes] of resources) {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      update.push(bytes.subarray(at, at + pieceBytes));
      if (slice.isOver) await slice.next();
    }
    update.endResource(name);
  }
}

export interface OutcomeReport {
  readonly metrics: Pick<XdsMetrics, "rejections">;
  readonly rejectedResponses: Pick<OutageLog, "failed" | "works">;
  readonly outcomes?: Pick<AgentResourceOutcomes, "record">;
}

/** Counts, notes and logs what became of a response. */
export function reportOutcome(
  outcome: AgentResourceOutcome,
  { metrics, rejectedResponses, outcomes }: OutcomeReport,
): void {
  const { typeUrl, version, error } = outcome;
  outcomes?.record(outcome);
  if (error === undefined) {
    rejectedResponses.works();
    return;
  }
  metrics.rejections.inc(shortTypeName(typeUrl));
  const kind = `${typeUrl} ${error}`;
  const fields = { typeUrl, reason: error, version };
  rejectedResponses.failed({ level: "warn", message: "agent rejected configuration", kind, fields });
}
