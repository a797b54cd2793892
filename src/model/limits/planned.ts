// SPDX-License-Identifier: Apache-2.0

/** Budgets that no code takes from yet; docs/limits.md marks them. The list only gets shorter. */
export const plannedBudgets: readonly string[] = [
  "status-unread-bytes",
  "status-unread-bytes-of-connection",
  "debug-output-bytes",
];
