// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";

/** Output for the user: a terminal that can be redrawn, or plain lines. */
export interface Screen {
  readonly write: (text: string) => void;
  /** False: lines are only added. */
  readonly redraws: boolean;
  readonly colours: boolean;
}

export type StepState = "waiting" | "done" | "failed";

interface Step {
  readonly group: string;
  readonly name: string;
  state: StepState;
  /** Shown behind the name, such as a duration or a reason. */
  note: string;
}

const marks: Readonly<Record<StepState, string>> = { waiting: "…", done: "✓", failed: "✗" };
const paints: Readonly<Record<StepState, string>> = { waiting: "\u001B[2m", done: "\u001B[32m", failed: "\u001B[31m" };
const plainPaint = "\u001B[0m";

/** Steps in groups, one line for each group. Each step changes once, from waiting to done or failed. */
export class Progress {
  readonly #screen: Screen;
  #steps: Step[] = [];
  #linesDrawn = 0;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** Writes text. Steps before it do not change any more. */
  say(text: string): void {
    this.#steps = [];
    this.#linesDrawn = 0;
    this.#screen.write(`${text}\n`);
  }

  /** Announces steps. Without redrawing they are shown only when they end. */
  expect(group: string, names: readonly string[]): void {
    for (const name of names) this.#steps.push({ group, name, state: "waiting", note: "" });
    this.#draw();
  }

  end(group: string, name: string, note: string, state: StepState = "done"): void {
    const step = this.#steps.find((candidate) => candidate.group === group && candidate.name === name);
    if (step === undefined || step.state !== "waiting") return;
    step.state = state;
    step.note = note;
    if (this.#screen.redraws) this.#draw();
    else this.#screen.write(`  ${group.padEnd(groupWidth)}${this.#cell(step)}\n`);
  }

  #draw(): void {
    if (!this.#screen.redraws) return;
    const up = this.#linesDrawn === 0 ? "" : `\u001B[${String(this.#linesDrawn)}A`;
    const lines = [...Map.groupBy(this.#steps, (step) => step.group)].map(
      ([group, steps]) =>
        `\u001B[2K  ${group.padEnd(groupWidth)}${steps.map((step) => this.#cell(step)).join("   ")}\n`,
    );
    this.#linesDrawn = lines.length;
    this.#screen.write(up + lines.join(""));
  }

  #cell(step: Step): string {
    const text = `${marks[step.state]} ${step.name}${step.note === "" ? "" : ` ${step.note}`}`;
    return this.#screen.colours ? `${paints[step.state]}${text}${plainPaint}` : text;
  }
}

const groupWidth = 8;

/**
 * Output to a stream: redrawn on a terminal unless it is dumb, and coloured unless `NO_COLOR` is set.
 * Source: no-color.org, any value that is not empty
 */
export function screenFor(
  write: (text: string) => void,
  isTerminal: boolean,
  env: Readonly<Record<string, string>>,
): Screen {
  const redraws = isTerminal && env["TERM"] !== "dumb";
  const writeIfPossible = (text: string): void => {
    try {
      write(text);
    } catch {
      // The terminal was closed, or the reader of the pipe has ended.
    }
  };
  return { write: writeIfPossible, redraws, colours: redraws && (env["NO_COLOR"] ?? "") === "" };
}

/** The end of each step of a run, in milliseconds from the start. */
export class Timeline {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #ends = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /** Records the end of a step. @returns milliseconds from the end of step `from`, or from the start */
  end(step: string, from?: string): number {
    const ms = Math.round(this.#clock.monotonicMs() - this.#startMs);
    this.#ends.set(step, ms);
    return ms - (from === undefined ? 0 : (this.#ends.get(from) ?? 0));
  }

  /** The steps in the order of their ends. */
  phases(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#ends);
  }
}
