// SPDX-License-Identifier: Apache-2.0
import { basename } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import type { EnvoyAdmin } from "./envoy-admin.ts";
import type { WorkloadName } from "./mesh.ts";

/** A resource that an edit changed; one that it took away has no version. */
interface EditedResource {
  readonly file: string;
  readonly typeUrl: string;
  readonly version: string | undefined;
  /** Of all resources of the type together. */
  readonly typeVersion: string;
}

/** What a control plane tells of its folder. */
export type Edit =
  /** Sent to Envoy; nothing, when only comments changed. */
  | { readonly kind: "applied"; readonly changes: readonly EditedResource[] }
  /** A file is wrong; Envoy does not see it. */
  | {
      readonly kind: "refused";
      readonly problem: { readonly file: string; readonly line: number; readonly message: string };
    }
  /** Envoy did not take what it was sent. */
  | { readonly kind: "rejected"; readonly rejection: { readonly typeUrl: string; readonly reason: string } };

const lookEveryMs = 50;
const looks = 40;
const shownColumns = 300;

/** Says what became of each edit of one workload's files; what comes before anybody listens is said then. */
export class EditTeller {
  readonly #workload: WorkloadName;
  readonly #admin: Pick<EnvoyAdmin, "usesOneOfEach">;
  readonly #clock: Clock;
  readonly #early: Edit[] = [];
  /** Reasons by type, while an edit of that type waits for its end. */
  readonly #awaited = new Map<string, string | undefined>();
  #listen: ((edit: Edit) => void) | undefined;
  #refusal = "";

  constructor(workload: WorkloadName, admin: Pick<EnvoyAdmin, "usesOneOfEach">, clock: Clock) {
    this.#workload = workload;
    this.#admin = admin;
    this.#clock = clock;
  }

  tell(edit: Edit): void {
    if (this.#listen === undefined) this.#early.push(edit);
    else this.#listen(edit);
  }

  follow(say: (text: string) => void, stop: AbortSignal): AsyncDisposable {
    const ended = new AbortController();
    const signal = AbortSignal.any([stop, ended.signal]);
    const running = new Set<Promise<void>>();
    this.#listen = (edit) => {
      const told = this.#say(edit, say, signal).catch(() => undefined);
      running.add(told);
      void told.then(() => running.delete(told));
    };
    for (const edit of this.#early.splice(0)) this.#listen(edit);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#listen = undefined;
        ended.abort();
        await Promise.all(running);
      },
    };
  }

  async #say(edit: Edit, say: (text: string) => void, signal: AbortSignal): Promise<void> {
    if (edit.kind === "refused") this.#sayRefused(edit.problem, say);
    else if (edit.kind === "rejected") this.#sayRejected(edit.rejection, say);
    else {
      const wasRefused = this.#refusal !== "";
      this.#refusal = "";
      if (edit.changes.length === 0 && wasRefused) say(`${this.#workload}: mended; Envoy has it already`);
      const files = Map.groupBy(edit.changes, ({ file }) => file);
      await Promise.all([...files].map(([file, changes]) => this.#sayApplied(file, changes, say, signal)));
    }
  }

  /** An editor that saves in several steps is told once. */
  #sayRefused(
    { file, line, message }: { file: string; line: number; message: string },
    say: (text: string) => void,
  ): void {
    if (message === this.#refusal) return;
    this.#refusal = message;
    const place = `${this.#nameOf(file)}:${String(line)}`;
    const problem = message.replace(`${file}:${String(line)}: `, "");
    say(`${place}: not used: ${shorten(problem)}; Envoy goes on with what it had`);
  }

  #sayRejected({ typeUrl, reason }: { typeUrl: string; reason: string }, say: (text: string) => void): void {
    if (this.#awaited.has(typeUrl)) this.#awaited.set(typeUrl, reason);
    else say(`${this.#workload}: Envoy refused ${typeUrl.slice(typeUrl.lastIndexOf(".") + 1)}: ${shorten(reason)}`);
  }

  async #sayApplied(
    file: string,
    changes: readonly EditedResource[],
    say: (text: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const name = this.#nameOf(file);
    const startMs = this.#clock.monotonicMs();
    const wanted = changes.flatMap(({ version, typeVersion }) =>
      version === undefined ? [] : [[version, typeVersion]],
    );
    if (wanted.length === 0) {
      say(`${name}: taken away`);
      return;
    }
    const typeUrls = new Set(changes.map(({ typeUrl }) => typeUrl));
    for (const typeUrl of typeUrls) this.#awaited.set(typeUrl, undefined);
    try {
      for (let look = 0; look < looks; look++) {
        const inUse = await this.#admin.usesOneOfEach(wanted, signal).catch(() => false);
        const reason = [...typeUrls].map((typeUrl) => this.#awaited.get(typeUrl)).find((text) => text !== undefined);
        if (reason !== undefined) {
          say(`${name}: refused by Envoy, which goes on with what it had: ${shorten(reason)}`);
          return;
        }
        if (inUse) {
          say(`${name}: in use by Envoy after ${String(Math.round(this.#clock.monotonicMs() - startMs))} ms`);
          return;
        }
        await this.#clock.delay(lookEveryMs, signal);
      }
      say(`${name}: not taken by Envoy, which goes on with what it had; the reason is in its log`);
    } finally {
      for (const typeUrl of typeUrls) this.#awaited.delete(typeUrl);
    }
  }

  #nameOf(file: string): string {
    return `${this.#workload}/${basename(file)}`;
  }
}

/** Envoy's reasons may hold the whole resource. */
function shorten(text: string): string {
  const line = text.replaceAll(/\s*\n\s*/g, " ").trim();
  return line.length > shownColumns ? `${line.slice(0, shownColumns)}…` : line;
}
