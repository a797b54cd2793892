// SPDX-License-Identifier: Apache-2.0
import type { Check } from "./check.ts";
import { agentCheck } from "./checks/agent.ts";
import { configCheck } from "./checks/config.ts";
import { envoyAdminCheck } from "./checks/envoy-admin.ts";
import { envoyCheck } from "./checks/envoy.ts";
import { interceptionCheck } from "./checks/interception.ts";
import { limitsCheck } from "./checks/limits.ts";
import { pathsCheck } from "./checks/paths.ts";
import { portsCheck } from "./checks/ports.ts";
import { processCheck } from "./checks/process.ts";
import { settingsCheck } from "./checks/settings.ts";
import { socketsCheck } from "./checks/sockets.ts";

/** All checks, in the order in which they are reported. Each is in a file of its own. */
export const checks: readonly Check[] = [
  // configuration and agent
  configCheck,
  agentCheck,
  // identity and network

  // machine and Envoy
  settingsCheck,
  processCheck,
  pathsCheck,
  socketsCheck,
  portsCheck,
  limitsCheck,
  interceptionCheck,
  envoyCheck,
  envoyAdminCheck,
];
