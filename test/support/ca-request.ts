// SPDX-License-Identifier: Apache-2.0
import type { CaRequest } from "../../src/ca/index.ts";
import { testSpiffeId } from "./test-authority.ts";

/** What the store would ask a CA for. */
export function caRequest(csrPem: string, ttlMs = 3_600_000, more: Partial<CaRequest> = {}): CaRequest {
  return { csrPem, ttlMs, spiffeId: testSpiffeId, current: undefined, check: () => undefined, ...more };
}
