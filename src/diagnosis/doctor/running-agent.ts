// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import {
  isJsonList,
  isJsonObject,
  type JsonObject,
  objectOf,
  objectsOf,
  parseJsonObject,
  textOf,
} from "../../lib/json.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { AgentClient, AgentUnreachableError } from "../agent-client.ts";

/** What a running agent says about itself. */
export interface RunningAgent {
  readonly address: HostPort;
  readonly ready: boolean;
  /** The tree of readiness. */
  readonly checks: readonly AgentCheck[];
  /** The document of `/debug/overview`; undefined if the agent does not serve it to this caller. */
  readonly overview: JsonObject | undefined;
}

/** A condition of the agent's readiness. */
export interface AgentCheck {
  readonly name: string;
  readonly code: string;
  readonly state: string;
  readonly detail: string;
  readonly children: readonly AgentCheck[];
}

/** A certificate that the agent serves. */
export interface AgentCertificate {
  readonly resourceName: string;
  readonly spiffeId: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The agent, or why there is none. */
export type AgentReading =
  | { readonly agent: RunningAgent; readonly problem: ""; readonly isLate: false }
  | {
      readonly agent: undefined;
      readonly problem: string;
      /** Something accepts connections there, but did not respond in time. */
      readonly isLate: boolean;
    };

const timeoutMs = 1_000;
const maxBodyBytes = 4 * 1024 * 1024;

/** Asks the agent at a status port for its readiness and its overview. Never rejects, and takes about a second at most. */
export async function readRunningAgent(address: HostPort, clock: Clock, signal: AbortSignal): Promise<AgentReading> {
  const client = new AgentClient(new URL(`http://${formatHostPort(address)}`), clock);
  const read = async (path: string): Promise<JsonObject | undefined> => {
    const response = await client.request({ path, timeoutMs, maxBodyBytes }, signal);
    return parseJsonObject(response.text());
  };
  try {
    const [report, overview] = await Promise.all([
      read("/healthz/ready"),
      read("/debug/overview").catch(() => undefined),
    ]);
    if (typeof report?.["ready"] !== "boolean" || !isJsonList(report["checks"])) {
      return { agent: undefined, problem: "what listens there is not an agent", isLate: false };
    }
    const agent = {
      address,
      ready: report["ready"],
      checks: parseChecks(report),
      overview: overview?.["readiness"] === undefined ? undefined : overview,
    };
    return { agent, problem: "", isLate: false };
  } catch (error) {
    if (error instanceof AgentUnreachableError)
      return { agent: undefined, problem: error.problem, isLate: error.isLate };
    return { agent: undefined, problem: describeError(error), isLate: false };
  }
}

function parseChecks(parent: JsonObject): readonly AgentCheck[] {
  return objectsOf(parent["checks"]).map((check) => ({
    name: textOf(check["name"]),
    code: textOf(check["code"]),
    state: textOf(check["state"]),
    detail: textOf(check["detail"]),
    children: parseChecks(check),
  }));
}

/** What the agent says about the certificates that it serves; empty where it says nothing. */
export function certificatesOf(agent: RunningAgent | undefined): readonly AgentCertificate[] {
  return objectsOf(agent?.overview?.["certificates"]).flatMap((one) => {
    const { notBeforeMs, notAfterMs } = one;
    if (typeof notBeforeMs !== "number" || typeof notAfterMs !== "number") return [];
    return [{ resourceName: textOf(one["resourceName"]), spiffeId: textOf(one["spiffeId"]), notBeforeMs, notAfterMs }];
  });
}

/** What the agent says about its last calls to a peer: `ca` or `controlPlane` of its overview. */
export interface PeerState {
  readonly failuresInARow: number;
  /** Why the last call failed; empty if none has. */
  readonly lastReason: string;
  /** Undefined where it is not said. */
  readonly connected: boolean | undefined;
}

export function peerStateOf(agent: RunningAgent | undefined, peer: "ca" | "controlPlane"): PeerState | undefined {
  const facts = agent?.overview?.[peer];
  if (!isJsonObject(facts)) return undefined;
  const { failuresInARow, connected, lastFailure } = facts;
  return {
    failuresInARow: typeof failuresInARow === "number" ? failuresInARow : 0,
    lastReason: textOf(objectOf(lastFailure)["reason"]),
    connected: typeof connected === "boolean" ? connected : undefined,
  };
}
