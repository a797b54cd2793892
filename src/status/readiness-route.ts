// SPDX-License-Identifier: Apache-2.0
import type { Call, RouteContext } from "./call.ts";
import { renderObstacles } from "./readiness-judge.ts";
import { renderReport, reportJson } from "./readiness-report.ts";
import { sendReply } from "./reply.ts";
import { hasQueryFlag } from "./request-path.ts";

const text = { "Content-Type": "text/plain; charset=utf-8" };

/**
 * 200 with an empty body, or 503 with a line for each thing that is pending. `?verbose` gives the whole tree as text,
 * `Accept: application/json` the same for a program.
 */
export async function answerReadiness({ judge }: Pick<RouteContext, "judge">, call: Call): Promise<void> {
  const wantsJson = /\bapplication\/json\b/i.test(call.request.headers.accept ?? "");
  if (wantsJson || hasQueryFlag(call.query, "verbose")) {
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
  sendReply(call, ready ? { status: 200 } : { status: 503, headers: text, body: renderObstacles(obstacles) });
}
