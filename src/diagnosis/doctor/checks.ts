// SPDX-License-Identifier: Apache-2.0
import type { Check } from "./check.ts";
import { agentCheck } from "./checks/agent.ts";
import { configCheck } from "./checks/config.ts";

/** All checks, in the order in which they are reported. Each is in a file of its own. */
export const checks: readonly Check[] = [
  // configuration and agent
  configCheck,
  agentCheck,
  // identity and network

  // machine and Envoy
];
