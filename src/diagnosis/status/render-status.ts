// SPDX-License-Identifier: Apache-2.0
import { escapeControls } from "../../lib/printable-text.ts";
import { formatDue, formatMoment, formatSpan } from "../../lib/relative-time.ts";
import { hangingLines } from "../../lib/text-wrap.ts";
import type { LoggedError, PodStatus } from "./pod-status.ts";
import { renderXds, type StatusView } from "./render-xds.ts";

const stateWords = {
  ready: "READY",
  "not-ready": "NOT READY",
  "shutting-down": "SHUTTING DOWN",
  "no-agent": "NO AGENT",
  "no-response": "NO RESPONSE",
} as const;
const labelWidth = 15;
const mostErrors = 5;
/** The log has the rest. */
const mostErrorText = 1_500;

/** The whole status: the state and its cause first. */
export function renderStatus(status: PodStatus, view: StatusView): string {
  const blocks = [
    renderHeadline(status, view),
    renderPending(status, view),
    renderFacts(status, view),
    renderXds(status, view),
    renderErrors(status, view),
  ];
  return blocks.filter((block) => block !== "").join("\n");
}

/** What the agent says of a pod that has nothing to say. */
const plainSentence = "The pod is ready.";

function renderHeadline({ state, sentence, cure, ready, drain }: PodStatus, view: StatusView): string {
  const word = stateWords[state];
  const head = sentence === plainSentence ? word : hangingLines(`${word}: `, escapeControls(sentence), view.columns);
  const isWarned = ready && cure !== "";
  const style = isWarned ? "warning" : ready ? "good" : "bad";
  const lines = [view.paint(style, word) + head.slice(word.length)];
  if (cure !== "") lines.push(hangingLines("-> ", escapeControls(cure), view.columns));
  if (drain !== "" && !sentence.includes(drain)) {
    lines.push(hangingLines("Drain: ", escapeControls(drain), view.columns));
  }
  return `${lines.join("\n")}\n`;
}

function renderPending({ ready, pending, sentence }: PodStatus, { columns }: StatusView): string {
  if (ready || pending.length === 0) return "";
  const names = new Map<string, string[]>();
  const headline = sentence.toLowerCase();
  for (const { name, detail } of pending) {
    const shown = headline.includes(detail.toLowerCase()) ? "" : detail;
    names.set(shown, [...(names.get(shown) ?? []), name]);
  }
  const lines = [...names].map(([detail, own]) => {
    const text = detail === "" ? own.join(", ") : `${own.join(", ")}: ${detail}`;
    return hangingLines("  ", escapeControls(text), columns);
  });
  return `Waits for\n${lines.join("\n")}\n`;
}

function renderFacts(status: PodStatus, { columns }: StatusView): string {
  const rows = [...programRows(status), ...peerRows(status), ...identityRows(status)];
  return rows
    .map(([label, text]) => `${hangingLines(label.padEnd(labelWidth), escapeControls(text), columns)}\n`)
    .join("");
}

type Row = readonly [label: string, text: string];

function programRows({ pod, agent, envoy, now }: PodStatus): readonly Row[] {
  const rows: Row[] = [];
  const since = (at: string): string => formatSpan(Date.parse(now) - Date.parse(at));
  if (pod !== undefined) {
    const name = pod.name === "" ? `name not known, namespace ${pod.namespace}` : `${pod.name}.${pod.namespace}`;
    rows.push(["Pod", pod.serviceAccount === "" ? name : `${name}, service account ${pod.serviceAccount}`]);
  }
  if (agent !== undefined) rows.push(["Agent", `${agent.version}, up ${since(agent.startedAt)}`]);
  if (envoy !== undefined) {
    const { version, state, startedAt, restarts, hotRestarts, lastFailure } = envoy;
    const runs = state === "EXITED" ? "" : `, up ${since(startedAt)}`;
    const hot = hotRestarts === 0 ? "" : `, ${plural(hotRestarts, "hot restart")}`;
    const failure = lastFailure === "" ? "" : `, last: ${lastFailure}`;
    const name = version === "" ? "version not known" : version;
    rows.push(["Envoy", `${name}, ${state}${runs}, ${plural(restarts, "restart")}${hot}${failure}`]);
  }
  return rows;
}

function peerRows({ ca, controlPlane, now, sentence, pending }: PodStatus): readonly Row[] {
  const rows: Row[] = [];
  const nowMs = Date.parse(now);
  const shown = [sentence, ...pending.map(({ detail }) => detail)];
  /** A reason is long: once is enough. */
  const because = (reason = ""): string =>
    reason === "" || shown.some((text) => text.includes(reason)) ? "" : `: ${reason}`;
  if (ca !== undefined) {
    const { kind, address, lastSuccessAt, failuresInARow, lastFailure } = ca;
    const last =
      lastSuccessAt === undefined ? "no certificate yet" : `last certificate ${momentOf(lastSuccessAt, nowMs)}`;
    const failures =
      failuresInARow === 0 ? "" : `, ${plural(failuresInARow, "failure")} in a row${because(lastFailure?.reason)}`;
    rows.push(["CA", `${address} (${kind}), ${last}${failures}`]);
  }
  if (controlPlane !== undefined && controlPlane.address !== "") {
    const { address, connected, since, lastFailure } = controlPlane;
    const duration = since === undefined ? "" : ` for ${formatSpan(nowMs - Date.parse(since))}`;
    const failure = connected ? "" : because(lastFailure?.reason);
    rows.push(["Control plane", `${address}, ${connected ? "connected" : "not connected"}${duration}${failure}`]);
  }
  return rows;
}

function identityRows({ certificates, roots, now }: PodStatus): readonly Row[] {
  const nowMs = Date.parse(now);
  const rows = certificates.flatMap(({ spiffeId, notAfter, nextRenewalAt }): readonly Row[] => {
    const leftMs = Date.parse(notAfter) - nowMs;
    const validity = leftMs > 0 ? `valid for ${formatSpan(leftMs)}` : `expired ${formatSpan(leftMs)} ago`;
    const renewal = nextRenewalAt === undefined ? "" : `, next renewal ${formatDue(Date.parse(nextRenewalAt), nowMs)}`;
    return [
      ["Certificate", spiffeId],
      ["", `${validity}${renewal}`],
    ];
  });
  const [first] = roots.toSorted((a, b) => Date.parse(a.notAfter) - Date.parse(b.notAfter));
  if (first === undefined) return rows;
  const leftMs = Date.parse(first.notAfter) - nowMs;
  const expiry = leftMs > 0 ? `expires in ${formatSpan(leftMs)}` : `expired ${formatSpan(leftMs)} ago`;
  return [...rows, ["Roots", `${String(roots.length)}, ${roots.length === 1 ? "it" : "the first"} ${expiry}`]];
}

function renderErrors({ lastErrors, now }: PodStatus, { columns, paint }: StatusView): string {
  if (lastErrors.length === 0) return "";
  const nowMs = Date.parse(now);
  const kinds = mergeErrors(lastErrors);
  const shown = kinds.slice(0, mostErrors).map(({ last: { at, level, scope, text }, count }) => {
    const where = scope === "" ? "" : ` (${scope})`;
    const times = count === 1 ? "" : `, ${String(count)} times`;
    const line = escapeControls(`${momentOf(at, nowMs)}${times}, ${level}${where}: ${text}`);
    return hangingLines("  ", line.length > mostErrorText ? `${line.slice(0, mostErrorText)}...` : line, columns);
  });
  const more = kinds.slice(mostErrors).reduce((sum, { count }) => sum + count, 0);
  const rest = more === 0 ? "" : paint("quiet", `  and ${String(more)} more in the log`);
  return `Last warnings and errors\n${[...shown, ...(rest === "" ? [] : [rest])].join("\n")}\n`;
}

interface ErrorKind {
  /** The newest. */
  readonly last: LoggedError;
  readonly count: number;
}

/** Those that differ in numbers alone are one. */
function mergeErrors(errors: readonly LoggedError[]): readonly ErrorKind[] {
  const kinds = new Map<string, ErrorKind>();
  for (const error of errors) {
    const key = `${error.level} ${error.scope} ${error.text.replaceAll(/\d+/g, "")}`;
    const { last = error, count = 0 } = kinds.get(key) ?? {};
    kinds.set(key, { last, count: count + 1 });
  }
  return [...kinds.values()];
}

function momentOf(at: string, nowMs: number): string {
  return formatMoment(Date.parse(at), nowMs);
}

function plural(count: number, word: string): string {
  return `${count === 0 ? "no" : String(count)} ${word}${count === 1 ? "" : "s"}`;
}
