// SPDX-License-Identifier: Apache-2.0
import type { Call, RouteContext } from "./call.ts";
import type { Obstacle } from "./readiness-judge.ts";
import { renderReport, reportJson } from "./readiness-report.ts";
import { headerText, sendReply } from "./reply.ts";
import { hasQueryFlag } from "./request-path.ts";

const text = { "Content-Type": "text/plain; charset=utf-8" };
/** On a 503: the names of what is pending, so that an answer without a body says what to look for. */
const pendingHeader = "X-Attache-Pending";

/**
 * 200 or 503, both with an empty body. `?verbose` gives the whole tree as text, `Accept: application/json` the same for
 * a program.
 */
export async function answerReadiness(
  { judge, turns }: Pick<RouteContext, "judge" | "turns">,
  call: Call,
): Promise<void> {
  const wantsJson = /\bapplication\/json\b/i.test(call.request.headers.accept ?? "");
  if (wantsJson || hasQueryFlag(call.query, "verbose")) {
    await turns.next();
    const report = await judge.report();
    const status = report.ready ? 200 : 503;
    if (!wantsJson) sendReply(call, { status, headers: text, body: renderReport(report) });
    else {
      const body = `${JSON.stringify(reportJson(report), undefined, 2)}\n`;
      sendReply(call, { status, headers: { "Content-Type": "application/json" }, body });
    }
    return;
  }
  const { ready, obstacles } = await judge.judge();
  sendReply(call, ready ? { status: 200 } : { status: 503, headers: { [pendingHeader]: pendingNames(obstacles) } });
}

/** What keeps the pod unready first, then what is waited for besides. */
function pendingNames(obstacles: readonly Obstacle[]): string {
  const pending = obstacles.filter(({ isNote }) => !isNote).toSorted((a, b) => Number(b.gates) - Number(a.gates));
  return headerText(pending.map(({ name }) => name).join(", "));
}
