// SPDX-License-Identifier: Apache-2.0
import { basename } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { ControlPlaneEvent } from "../xds/index.ts";
import type { EnvoyAdmin } from "./envoy-admin.ts";
import type { WorkloadName } from "./mesh.ts";
import { oneLine } from "../lib/trim.ts";

type Applied = Extract<ControlPlaneEvent, { readonly kind: "applied" }>;
type Invalid = Extract<ControlPlaneEvent, { readonly kind: "invalid" }>;
type Rejected = Extract<ControlPlaneEvent, { readonly kind: "rejected" }>;

const pollMs = 50;
const polls = 40;
const shownColumns = 300;

/** Reports the result of each edit of one workload's files. Events before the first `follow` are reported then. */
export class EditReporter {
  readonly #workload: WorkloadName;
  readonly #admin: Pick<EnvoyAdmin, "usesOneOfEach">;
  readonly #clock: Clock;
  readonly #early: ControlPlaneEvent[] = [];
  /** The types whose edit waits for Envoy, with Envoy's reason once it has rejected one. */
  readonly #waiting = new Map<string, string | undefined>();
  #listen: ((event: ControlPlaneEvent) => void) | undefined;
  #lastProblem = "";

  constructor(workload: WorkloadName, admin: Pick<EnvoyAdmin, "usesOneOfEach">, clock: Clock) {
    this.#workload = workload;
    this.#admin = admin;
    this.#clock = clock;
  }

  add(event: ControlPlaneEvent): void {
    if (this.#listen === undefined) this.#early.push(event);
    else this.#listen(event);
  }

  /** Reports through `say` until the result is disposed. */
  follow(say: (text: string) => void, stop: AbortSignal): AsyncDisposable {
    const ended = new AbortController();
    const signal = AbortSignal.any([stop, ended.signal]);
    const running = new Set<Promise<void>>();
    this.#listen = (event) => {
      const reported = this.#report(event, say, signal).catch(() => undefined);
      running.add(reported);
      void reported.then(() => running.delete(reported));
    };
    for (const event of this.#early.splice(0)) this.#listen(event);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#listen = undefined;
        ended.abort();
        await Promise.all(running);
      },
    };
  }

  async #report(event: ControlPlaneEvent, say: (text: string) => void, signal: AbortSignal): Promise<void> {
    switch (event.kind) {
      case "applied":
        await this.#reportApplied(event, say, signal);
        break;
      case "invalid":
        this.#reportInvalid(event, say);
        break;
      case "rejected":
        this.#reportRejected(event, say);
        break;
      case "watch-failed":
        say(`${this.#workload}: edits are seen up to 10 s late: ${describeError(event.error)}`);
        break;
    }
  }

  /** A problem that an editor saves several times is reported once. */
  #reportInvalid({ problem: { file, line, message } }: Invalid, say: (text: string) => void): void {
    if (message === this.#lastProblem) return;
    this.#lastProblem = message;
    const problem = message.replace(`${file}:${String(line)}: `, "");
    say(`${this.#nameOf(file)}:${String(line)}: invalid: ${shorten(problem)}; Envoy keeps the previous version`);
  }

  #reportRejected({ rejection: { typeUrl, reason } }: Rejected, say: (text: string) => void): void {
    if (this.#waiting.has(typeUrl)) this.#waiting.set(typeUrl, reason);
    else say(`${this.#workload}: Envoy rejected ${typeUrl.slice(typeUrl.lastIndexOf(".") + 1)}: ${shorten(reason)}`);
  }

  async #reportApplied({ changes }: Applied, say: (text: string) => void, signal: AbortSignal): Promise<void> {
    const wasInvalid = this.#lastProblem !== "";
    this.#lastProblem = "";
    if (changes.length === 0 && wasInvalid) say(`${this.#workload}: fixed; Envoy already uses this version`);
    const files = Map.groupBy(changes, ({ file }) => file);
    const reports = [...files].map(async ([file, changesOfFile]) => {
      say(`${this.#nameOf(file)}: ${await this.#untilUsed(changesOfFile, signal)}`);
    });
    await Promise.all(reports);
  }

  /** Waits until Envoy uses or rejects the changes of one file. @returns the result as text */
  async #untilUsed(changes: Applied["changes"], signal: AbortSignal): Promise<string> {
    const startMs = this.#clock.monotonicMs();
    const wanted = changes.flatMap(({ version, typeVersion }) =>
      version === undefined ? [] : [[version, typeVersion]],
    );
    if (wanted.length === 0) return "removed";
    const typeUrls = new Set(changes.map(({ typeUrl }) => typeUrl));
    for (const typeUrl of typeUrls) this.#waiting.set(typeUrl, undefined);
    try {
      for (let poll = 0; poll < polls; poll++) {
        const inUse = await this.#admin.usesOneOfEach(wanted, signal).catch(() => false);
        const reason = [...typeUrls].map((typeUrl) => this.#waiting.get(typeUrl)).find((text) => text !== undefined);
        if (reason !== undefined) return `rejected by Envoy, which keeps the previous version: ${shorten(reason)}`;
        if (inUse) return inUseAfter(this.#clock.monotonicMs() - startMs);
        await this.#clock.delay(pollMs, signal);
      }
      return notInUse;
    } finally {
      for (const typeUrl of typeUrls) this.#waiting.delete(typeUrl);
    }
  }

  #nameOf(file: string): string {
    return `${this.#workload}/${basename(file)}`;
  }
}

export const notInUse = "not accepted by Envoy, which keeps the previous version; its log says why";

export function inUseAfter(ms: number): string {
  return `in use by Envoy after ${String(Math.round(ms))} ms`;
}

/** Envoy's reasons can contain the whole resource. */
function shorten(text: string): string {
  const line = oneLine(text).trim();
  return line.length > shownColumns ? `${line.slice(0, shownColumns)}…` : line;
}
