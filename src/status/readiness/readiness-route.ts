// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { TurnQueue } from "../../lib/async/turn-queue.ts";
import type { Budgets } from "../../model/limits.ts";
import { type Call, headerText, jsonReply, type Reply, sendReply } from "../call.ts";
import { isLocalCaller, peerOf } from "../local-caller.ts";
import type { Obstacle, ReadinessVerdict } from "./readiness-judge.ts";
import { type ReadinessReport, renderReport, reportJson } from "./readiness-report.ts";

export interface ReadinessRouteDeps {
  readonly judge: {
    isStillReady(): boolean;
    judge(): Promise<ReadinessVerdict>;
    report(): Promise<ReadinessReport>;
  };
  /** Why the agent shuts down; undefined while it does not. */
  readonly terminating: () => string | undefined;
  readonly turns: Pick<TurnQueue, "turn">;
  readonly clock: Clock;
  readonly budgets: Budgets;
}

/** On a 503: the names of what is pending. */
const pendingHeader = "X-Attache-Pending";

/**
 * Responds with 200 or 503, both with an empty body. `?verbose` adds the whole tree as text, `Accept: application/json`
 * as JSON.
 */
export function createReadinessRoute(deps: ReadinessRouteDeps): (call: Call) => Promise<void> | undefined {
  const wait = new ReadinessWait(deps);
  const respond = async (call: Call): Promise<void> => {
    const { headers } = call.request;
    if (headers["prefer"] !== undefined) await wait.untilReady(call);
    const wantsJson = acceptsJson(headers.accept);
    if (wantsJson || hasQueryFlag(call.query, "verbose")) await sendReport(deps, call, wantsJson);
    else await sendVerdict(deps, call);
  };
  return (call) => {
    const { accept } = call.request.headers;
    if (call.query !== "" || acceptsJson(accept) || !deps.judge.isStillReady()) return respond(call);
    sendReply(call, readyReply);
    return undefined;
  };
}

const readyReply: Reply = { status: 200 };

function acceptsJson(accept: string | undefined): boolean {
  return accept !== undefined && /\bapplication\/json\b/i.test(accept);
}

async function sendVerdict({ judge }: ReadinessRouteDeps, call: Call): Promise<void> {
  const { ready, obstacles } = await judge.judge();
  sendReply(call, ready ? readyReply : { status: 503, headers: { [pendingHeader]: pendingNames(obstacles) } });
}

async function sendReport({ judge, turns }: ReadinessRouteDeps, call: Call, asJson: boolean): Promise<void> {
  await turns.turn(peerOf(call.request.socket));
  const report = await judge.report();
  const status = report.ready ? 200 : 503;
  const headers = { "Content-Type": "text/plain; charset=utf-8" };
  sendReply(call, asJson ? jsonReply(status, reportJson(report)) : { status, headers, body: renderReport(report) });
}

/** What keeps the pod unready comes first. */
function pendingNames(obstacles: readonly Obstacle[]): string {
  const pending = obstacles.filter(({ isNote }) => !isNote).toSorted((a, b) => Number(b.gates) - Number(a.gates));
  return headerText(pending.map(({ name }) => name).join(", "));
}

/** Whether a query has the flag, with or without a value. */
export function hasQueryFlag(query: string, name: string): boolean {
  return query.split("&").some((pair) => pair === name || pair.startsWith(`${name}=`));
}

/** The longest delay between readiness and the response to a waiting caller. A check takes about a millisecond. */
const checkEveryMs = 10;
const longestWaitMs = 300_000;

type ReadinessWaitDeps = Pick<ReadinessRouteDeps, "terminating" | "clock" | "budgets"> & {
  readonly judge: Pick<ReadinessRouteDeps["judge"], "judge">;
};

/**
 * Delays the response until the pod is ready, for a caller on loopback that sends `Prefer: wait=SECONDS`. All waiting
 * callers share the checks; without one there are none. When too many wait, further ones get their response at once.
 * Source of the header: RFC 7240, section 4.3
 */
export class ReadinessWait {
  readonly #deps: ReadinessWaitDeps;
  #waiting = 0;
  #checks: Promise<void> | undefined;

  constructor(deps: ReadinessWaitDeps) {
    this.#deps = deps;
  }

  /** Resolves when the pod is ready, the agent shuts down, the wait is over or the caller leaves; never rejects. */
  async untilReady({ request, signal }: Pick<Call, "request" | "signal">): Promise<void> {
    const waitMs = preferredWaitMs(request.headers["prefer"]);
    if (waitMs === undefined || !isLocalCaller(request)) return;
    using place = this.#deps.budgets.of("readiness-waits").take();
    if (place === undefined) return;
    using limit = deadline(this.#deps.clock, Math.min(waitMs, longestWaitMs), signal);
    this.#waiting++;
    try {
      this.#checks ??= this.#check()
        .catch(() => undefined)
        .finally(() => {
          this.#checks = undefined;
        });
      await orAborted(this.#checks, limit.signal).catch(() => undefined);
    } finally {
      this.#waiting--;
    }
  }

  async #check(): Promise<void> {
    const { judge, terminating, clock } = this.#deps;
    while (this.#waiting > 0 && terminating() === undefined && !(await judge.judge()).ready) {
      await clock.delay(checkEveryMs);
    }
  }
}

/** @returns undefined when the caller does not want to wait */
function preferredWaitMs(prefer: string | readonly string[] | undefined): number | undefined {
  const seconds = /(?:^|[\s,;])wait="?(\d{1,6})"?(?:$|[\s,;])/i.exec(String(prefer ?? ""))?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}
