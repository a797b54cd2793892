// SPDX-License-Identifier: Apache-2.0
import type { Check } from "./check.ts";
import { agentCheck } from "./checks/agent.ts";
import { caCheck } from "./checks/ca.ts";
import { certificateCheck } from "./checks/certificate.ts";
import { clockCheck } from "./checks/clock.ts";
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
import { controlPlaneCheck } from "./checks/control-plane.ts";
import { dnsCheck } from "./checks/dns.ts";
import { identityCheck } from "./checks/identity.ts";
import { identityFilesCheck } from "./checks/identity-files.ts";
import { readinessCheck } from "./checks/readiness.ts";
import { rootsCheck } from "./checks/roots.ts";
import { tokenCheck } from "./checks/token.ts";
import { workloadApiCheck } from "./checks/workload-api.ts";

/** All checks, in the order in which they are reported. Each is in a file of its own. */
export const checks: readonly Check[] = [
  // configuration and agent
  configCheck,
  agentCheck,
  readinessCheck,
  certificateCheck,
  // identity and network
  identityCheck,
  tokenCheck,
  rootsCheck,
  identityFilesCheck,
  workloadApiCheck,
  caCheck,
  controlPlaneCheck,
  dnsCheck,
  clockCheck,
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
