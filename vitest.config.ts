// SPDX-License-Identifier: Apache-2.0
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

interface Suite {
  readonly name: string;
  /** Suites run one after another in this order, so that none is slowed down by another. */
  readonly order: number;
  /** For what never ends, not a measure: several times what a test takes on a busy machine. There is no second try. */
  readonly timeoutMs: number;
  /** Files that run at the same time. */
  readonly workers: number;
  /** Whether each file has a process of its own. */
  readonly isolate: boolean;
}

const suites: readonly Suite[] = [
  { name: "unit", workers: 2, order: 1, timeoutMs: 10_000, isolate: false },
  { name: "integration", workers: 2, order: 2, timeoutMs: 60_000, isolate: true },
  { name: "parity", workers: 2, order: 3, timeoutMs: 60_000, isolate: true },
  { name: "e2e", workers: 2, order: 4, timeoutMs: 180_000, isolate: true },
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
          testTimeout: timeoutMs,
          hookTimeout: timeoutMs,
          sequence: { groupOrder: order },
        },
      }),
    ),
  },
});
