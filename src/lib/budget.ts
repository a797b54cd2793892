// SPDX-License-Identifier: Apache-2.0
// Budgets: a named limit on each thing that a peer can make grow. The budgets of the agent are in model/limits.ts;
// modules get them as `deps.budgets`, tests from test/support/budgets.ts. How to use one:
//
//   const budget = budgets.of("dns-queries");            // the one of the process
//   if (!budget.tryTake()) return reject(budget.text);   // "limit dns-queries of 1000 items is reached"
//   try { ... } finally { budget.release(); }            // or: using lease = budget.take(); undefined when spent
//
//   using share = budgets.of("dns-queries-of-connection").child();  // the one of this connection. It also counts into
//   share.tryTake(bytes); share.release(bytes);                     // the budget `within`; disposing it releases all
//
//   if (!budgets.of("sds-name-bytes").admits(name.length)) reject   // limit on one thing that is not kept: no release
//   if (!queued.charge(bytes)) { socket.pause(); await queued.untilFree(signal); socket.resume(); }  // already there
//   if (!resets.tryTakeAt(clock.monotonicMs())) close               // rate: a budget with `windowMs`; no release
//
// A command without an agent: createBudgets(limits, readHostLimits()) of budget-set.ts. Whoever takes acts by the rule `whenSpent`.
// Metrics, status page, log lines and docs/limits.md come from the table.
import { AgentError } from "./errors.ts";
import type { HostLimits } from "./host-limits.ts";

/** What each budget of a scope other than the process limits: one connection, one message. */
export type BudgetScope = "process" | "connection" | "stream" | "request" | "type" | "target" | "cause" | "single item";

/** One row of a table of budgets; its name is its key there. */
export interface BudgetSpec {
  readonly unit: "items" | "bytes";
  readonly scope: BudgetScope;
  /** A pure function of the host's limits. Rounded down, and at least 1. */
  readonly size: (limits: HostLimits) => number;
  /** What the owner does with what does not fit. */
  readonly whenSpent: "pause" | "reject" | "drop-oldest" | "close";
  /** The module that takes from it. */
  readonly owner: string;
  /** One line: what is counted. */
  readonly meaning: string;
  /** The variable or flag that changes the size. */
  readonly setting?: string;
  /** The budget of the process into which those of this scope count too. */
  readonly within?: string;
  /** Set for a rate: all is free again after this time. */
  readonly windowMs?: number;
  /** How many files and sockets each item holds open. The shares of all budgets fit into the host's limit. */
  readonly openFiles?: number;
}

/** Something does not fit into a budget. */
export class BudgetSpentError extends AgentError {
  readonly code = "AGENT_BUDGET_SPENT";
  readonly budget: string;
  readonly size: number;
  constructor({ name, size, text }: Pick<Budget, "name" | "size" | "text">) {
    super(text);
    this.budget = name;
    this.size = size;
  }
}

/** What all budgets of one row of the table share. */
export class BudgetRow {
  readonly name: string;
  readonly spec: BudgetSpec;
  readonly size: number;
  readonly onSpent: (budget: SpentBudget) => void;
  readonly children = new Set<Budget>();
  peak = 0;
  spentTotal = 0;
  /** Since the first rejection, until `settle` is called. */
  isSpent = false;

  constructor(name: string, spec: BudgetSpec, size: number, onSpent: (budget: SpentBudget) => void) {
    this.name = name;
    this.spec = spec;
    this.size = Math.max(1, Math.floor(size));
    this.onSpent = onSpent;
  }

  countSpent(): void {
    this.spentTotal++;
    if (this.isSpent) return;
    this.isSpent = true;
    this.onSpent(this);
  }

  settle(): void {
    this.isSpent = false;
  }
}

/** A budget that was spent, as its reporter sees it. */
export interface SpentBudget {
  readonly name: string;
  readonly spec: BudgetSpec;
  readonly size: number;
  readonly spentTotal: number;
  /** From now on, the next rejection is reported as the first. */
  settle(): void;
}

/** Counts what is taken. Nothing is allocated to take, to release or to reject. */
export class Budget implements Disposable {
  readonly #row: BudgetRow;
  readonly #parent: Budget | undefined;
  /** Below 0 in the budget of a scope, from which only its children take. */
  readonly #limit: number;
  #used = 0;
  #windowEndMs = 0;
  #waiting: Set<() => void> | undefined;
  /** Of the last rejection: this one, or the one that it counts into. */
  #spent: BudgetRow;

  constructor(row: BudgetRow, limit: number, parent: Budget | undefined) {
    this.#row = row;
    this.#limit = limit;
    this.#parent = parent;
    this.#spent = row;
  }

  get name(): string {
    return this.#row.name;
  }

  get size(): number {
    return this.#row.size;
  }

  get whenSpent(): BudgetSpec["whenSpent"] {
    return this.#row.spec.whenSpent;
  }

  get used(): number {
    return this.#used;
  }

  /** What a rejection says: names the budget that had no space at the last rejection. */
  get text(): string {
    const { name, size, spec } = this.#spent;
    return `limit ${name} of ${String(size)} ${spec.unit} is reached`;
  }

  /** @returns false when the amount does not fit; nothing is taken then */
  tryTake(amount = 1): boolean {
    const used = this.#used + amount;
    if (used > this.#limit) return this.#reject();
    if (this.#parent !== undefined && !this.#parent.tryTake(amount)) {
      this.#spent = this.#parent.#spent;
      return false;
    }
    this.#used = used;
    if (used > this.#row.peak) this.#row.peak = used;
    return true;
  }

  /** For a rate: as `tryTake`, and nothing is to be released. @param nowMs monotonic */
  tryTakeAt(nowMs: number, amount = 1): boolean {
    if (nowMs >= this.#windowEndMs) {
      this.release(this.#used);
      this.#windowEndMs = nowMs + (this.#row.spec.windowMs ?? 0);
    }
    return this.tryTake(amount);
  }

  /** A part that disposing it releases; undefined when the amount does not fit. */
  take(amount = 1): Budget | undefined {
    const part = this.child();
    if (part.tryTake(amount)) return part;
    this.#spent = part.#spent;
    return undefined;
  }

  /**
   * Counts what is already there, whether it fits or not.
   * @returns whether it fits; if not, no more should be let in before `untilFree`
   */
  charge(amount: number): boolean {
    const parentFits = this.#parent?.charge(amount) ?? true;
    this.#used += amount;
    if (this.#used > this.#row.peak) this.#row.peak = this.#used;
    if (this.#used > this.#limit) return this.#reject();
    if (!parentFits && this.#parent !== undefined) this.#spent = this.#parent.#spent;
    return parentFits;
  }

  /** Whether a thing of this size is within the limit. Nothing is taken. */
  admits(amount: number): boolean {
    if (amount > this.#row.size) {
      this.#spent = this.#row;
      this.#row.countSpent();
      return false;
    }
    if (amount > this.#row.peak) this.#row.peak = amount;
    return true;
  }

  /** Gives back; never more than what is taken. */
  release(amount = 1): void {
    const released = amount < this.#used ? amount : this.#used;
    if (released <= 0) return;
    this.#used -= released;
    this.#parent?.release(released);
    if (this.#waiting !== undefined && this.#used < this.#limit) this.#wake();
  }

  /**
   * The budget of one connection, stream or other scope; of a budget of the process a part without a size of its own.
   * Disposing it releases all that it holds.
   */
  child(): Budget {
    if (this.#limit >= 0) return new Budget(this.#row, this.#row.size, this);
    const child = new Budget(this.#row, this.#row.size, this.#parent);
    this.#row.children.add(child);
    return child;
  }

  /**
   * Waits until something is free, here and in the budget that this one counts into; others may take it first.
   * @throws the signal's reason
   */
  async untilFree(signal: AbortSignal): Promise<void> {
    for (let budget = this.#full(); budget !== undefined; budget = this.#full()) await budget.#untilReleased(signal);
  }

  /** The error that says so, after a rejection. */
  spentError(): BudgetSpentError {
    return new BudgetSpentError({ name: this.#spent.name, size: this.#spent.size, text: this.text });
  }

  [Symbol.dispose](): void {
    this.release(this.#used);
    this.#row.children.delete(this);
  }

  #reject(): false {
    if (this.#limit < 0) throw new Error(`take from a child() of the budget ${this.name}, which is not the process's`);
    this.#spent = this.#row;
    this.#row.countSpent();
    return false;
  }

  #full(): Budget | undefined {
    if (this.#used >= this.#limit) return this;
    return this.#parent === undefined ? undefined : this.#parent.#full();
  }

  #untilReleased(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = (this.#waiting ??= new Set());
      const wake = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        waiting.delete(wake);
        reject(signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason }));
      };
      if (signal.aborted) leave();
      else {
        waiting.add(wake);
        signal.addEventListener("abort", leave, { once: true });
      }
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const wake of waiting ?? []) wake();
  }
}
