// SPDX-License-Identifier: Apache-2.0
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

interface Suite {
  readonly name: string;
  /** Suites run one after another in this order, so that none is slowed down by another. */
  readonly order: number;
  readonly timeoutMs: number;
  /** Whether each file has a process of its own. */
  readonly isolate: boolean;
}

const suites: readonly Suite[] = [
  { name: "unit", order: 1, timeoutMs: 5_000, isolate: false },
  { name: "integration", order: 2, timeoutMs: 30_000, isolate: true },
  { name: "parity", order: 3, timeoutMs: 30_000, isolate: true },
  { name: "e2e", order: 4, timeoutMs: 90_000, isolate: true },
];

export default defineConfig({
  test: {
    globalSetup: ["test/support/find-envoy.ts"],
    passWithNoTests: false,
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/gen/**"],
      reporter: ["text-summary", "json-summary"],
    },
    projects: suites.map(
      ({ name, order, timeoutMs, isolate }): TestProjectInlineConfiguration => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          setupFiles: ["test/support/leak-guard.ts"],
          pool: "forks",
          maxWorkers: 2,
          isolate,
          retry: 0,
          testTimeout: timeoutMs,
          hookTimeout: timeoutMs,
          sequence: { groupOrder: order },
        },
      }),
    ),
  },
});
