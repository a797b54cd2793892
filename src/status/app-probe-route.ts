// SPDX-License-Identifier: Apache-2.0
import { assertNever } from "../lib/errors.ts";
import type { ProbeOutcome } from "./probe-outcome.ts";
import { headerText, type Reply, sendReply, textReply } from "./reply.ts";
import type { Call, RouteContext } from "./call.ts";
import type { AppProbe } from "./status-config.ts";

/**
 * Tells whose failure it was, so that an event of the kubelet can be read: `app` (it answered badly or not at all),
 * `agent` (it could not ask), `config` (there is no such probe).
 */
const faultHeader = "X-Attache-Probe-Fault";
const reasonHeader = "X-Attache-Probe-Reason";

/** Makes the probe of this path and answers as the application did. */
export async function answerAppProbe(
  { prober, probeRecord, clock, log }: Pick<RouteContext, "prober" | "probeRecord" | "clock" | "log">,
  probe: AppProbe | undefined,
  call: Call,
): Promise<void> {
  const { request, path, signal } = call;
  if (probe === undefined) {
    log.debug("there is no such application probe", { path });
    const unknown = textReply(404, `no application probe is configured for ${path}`);
    sendReply(call, { ...unknown, headers: { ...unknown.headers, [faultHeader]: "config" } });
    return;
  }
  const startMs = clock.monotonicMs();
  const outcome = await prober.probe(probe, request, signal);
  if (outcome.kind === "failed") {
    log.debug("application probe failed", {
      path,
      kind: probe.handler.kind,
      fault: outcome.side,
      reason: outcome.reason,
    });
  }
  const reply = replyTo(outcome);
  probeRecord.note({
    path,
    kind: probe.handler.kind,
    atMs: clock.now(),
    durationMs: Math.round(clock.monotonicMs() - startMs),
    status: reply.status,
    reason: outcome.kind === "failed" ? outcome.reason : undefined,
  });
  sendReply(call, reply);
}

function replyTo(outcome: ProbeOutcome): Reply {
  switch (outcome.kind) {
    case "passed":
      return { status: 200 };
    case "answered":
      return answeredReply(outcome.status, outcome.body);
    case "failed":
      return { status: 500, headers: { [faultHeader]: outcome.side, [reasonHeader]: headerText(outcome.reason) } };
    default:
      return assertNever(outcome);
  }
}

/** The application's status, unless it is none that may be sent on: a status below 200 ends no request. */
function answeredReply(status: number, body: Uint8Array): Reply {
  const fault = status >= 200 && status < 400 ? undefined : { [faultHeader]: "app" };
  if (status < 200 || status > 999) {
    return { status: 500, headers: { ...fault, [reasonHeader]: `the application answered ${String(status)}` } };
  }
  const type = body.byteLength === 0 ? undefined : { "Content-Type": contentType(body) };
  return { status, headers: { ...fault, ...type }, body };
}

/** Nothing of the application's headers is passed on, so the type is told from the first bytes. */
function contentType(body: Uint8Array): string {
  const start = Buffer.from(body.subarray(0, 512)).toString("latin1");
  if (/^\s*<(!doctype html|html)/i.test(start)) return "text/html; charset=utf-8";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells binary from text
  return /[\u0000-\u0008\u000e-\u001a]/.test(start) ? "application/octet-stream" : "text/plain; charset=utf-8";
}
