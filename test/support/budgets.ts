// SPDX-License-Identifier: Apache-2.0
import { createBudgets } from "../../src/lib/budget-set.ts";
import type { GrpcServerLimits } from "../../src/lib/grpc/server.ts";
import type { HostLimits } from "../../src/lib/host-limits.ts";
import { type BudgetName, type Budgets, limits } from "../../src/model/limits.ts";

/** A pod with a memory limit of 512 MiB, as on a large node. */
export const testHost: HostLimits = { memoryBytes: 512 * 2 ** 20, heapBytes: 48 * 2 ** 20, openFiles: 1_048_512 };

/** What clients of a gRPC server may make grow, as on the XDS socket. */
export function testServerLimits(budgets = testBudgets()): GrpcServerLimits {
  return {
    connections: budgets.of("xds-connections"),
    streams: budgets.of("xds-streams-of-connection"),
    resets: budgets.of("xds-resets"),
    messageBytes: budgets.of("xds-request-bytes"),
    partialBytes: budgets.of("xds-partial-bytes"),
    queuedBytes: budgets.of("xds-queued-bytes"),
    windowBytes: budgets.of("socket-window-bytes"),
    controlBytes: budgets.of("socket-control-bytes"),
    memory: budgets.memory,
  };
}

/** The budgets of the agent; `sizes` replaces those of the table. */
export function testBudgets(sizes: Partial<Record<BudgetName, number>> = {}, host = testHost): Budgets {
  return createBudgets(limits, host, { sizes });
}
