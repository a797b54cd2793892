// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { isJsonList, type JsonObject, objectsOf, parseJsonObject, textOf } from "../../lib/json.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { HttpError, requestHttp } from "../../lib/net/http-client.ts";

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
  | { readonly agent: RunningAgent; readonly problem: "" }
  | { readonly agent: undefined; readonly problem: string };

const timeoutMs = 1_000;
const maxBodyBytes = 4 * 1024 * 1024;

/** Asks the agent at a status port for its readiness and its overview. Never rejects, and takes about a second at most. */
export async function readRunningAgent(address: HostPort, clock: Clock, signal: AbortSignal): Promise<AgentReading> {
  const read = async (path: string): Promise<JsonObject | undefined> => {
    const url = { ...address, path };
    const headers = { accept: "application/json" };
    const response = await requestHttp({ url, headers, deadline: { clock, timeoutMs }, maxBodyBytes }, signal);
    return parseJsonObject(response.text());
  };
  try {
    const [report, overview] = await Promise.all([
      read("/healthz/ready"),
      read("/debug/overview").catch(() => undefined),
    ]);
    if (typeof report?.["ready"] !== "boolean" || !isJsonList(report["checks"])) {
      return { agent: undefined, problem: `what listens at ${formatHostPort(address)} is not an agent` };
    }
    const agent = {
      address,
      ready: report["ready"],
      checks: parseChecks(report),
      overview: overview?.["readiness"] === undefined ? undefined : overview,
    };
    return { agent, problem: "" };
  } catch (error) {
    return { agent: undefined, problem: error instanceof HttpError ? error.problem : describeError(error) };
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
