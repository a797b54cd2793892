// SPDX-License-Identifier: Apache-2.0
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

interface Suite {
  readonly name: string;
  /** Suites run one after another in this order, so that none is slowed down by another. */
  readonly order: number;
  readonly timeoutMs: number;
  /** Files that run at the same time. Those of e2e measure under load, each on its own. */
  readonly workers: number;
  /** Whether each file has a process of its own. */
  readonly isolate: boolean;
}

const suites: readonly Suite[] = [
  { name: "unit", workers: 2, order: 1, timeoutMs: 5_000, isolate: false },
  { name: "integration", workers: 2, order: 2, timeoutMs: 30_000, isolate: true },
  { name: "parity", workers: 2, order: 3, timeoutMs: 30_000, isolate: true },
  { name: "e2e", workers: 1, order: 4, timeoutMs: 90_000, isolate: true },
];

export default defineConfig({
  test: {
    globalSetup: ["test/support/before-all.ts"],
    passWithNoTests: false,
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/gen/**"],
      reporter: ["text-summary", "json-summary"],
    },
    projects: suites.map(
      ({ name, order, timeoutMs, workers, isolate }): TestProjectInlineConfiguration => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          setupFiles: ["test/support/leak-guard.ts"],
          pool: "forks",
          maxWorkers: workers,
          isolate,
          // time limits that a busy machine exceeds get a second try in CI; what fails by itself fails twice
          retry: process.env["CI"] !== undefined && name !== "unit" ? 1 : 0,
          testTimeout: timeoutMs,
          hookTimeout: timeoutMs,
          sequence: { groupOrder: order },
        },
      }),
    ),
  },
});
