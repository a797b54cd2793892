// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../budget.ts";

/** The sizes of the log's budgets, which apply before the budgets are created too: the log begins with the process. */
export const logSizes = {
  waitingBytes: 1024 * 1024,
  lineBytes: 16 * 1024,
} as const;

/** What the log counts. */
export interface LogBudgets {
  /** Lines that the readers of the log have not taken. */
  readonly waitingBytes: Budget;
  /** One line. */
  readonly lineBytes: LineLimit;
}

/** The limit of one line. */
export type LineLimit = Pick<Budget, "size" | "admits">;

/** Without a budget: in commands, and before there is one. */
export const defaultLineLimit: LineLimit = {
  size: logSizes.lineBytes,
  admits: (bytes) => bytes <= logSizes.lineBytes,
};
