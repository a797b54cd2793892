// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createTestMetrics } from "../../support/agent-metrics.ts";

test("metrics of what an agent does not run are not exposed", () => {
  const names = (metrics: ReturnType<typeof createTestMetrics>): readonly string[] =>
    metrics.exposed.map(({ name }) => name);
  const all = names(createTestMetrics());
  const without = names(createTestMetrics({ externalSds: false, xdsProxy: false }));
  expect(all.filter((name) => !without.includes(name))).toEqual([
    "attache_foreign_sds_up",
    "attache_xds_rejections_total",
    "attache_xds_rejected",
    "attache_xds_cache_staleness_seconds",
  ]);
});
