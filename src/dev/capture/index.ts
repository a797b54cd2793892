// SPDX-License-Identifier: Apache-2.0
export { workloadVariable } from "./messages.ts";
export { enterUserNamespace } from "./user-namespace.ts";
export { runWorkloadProcess } from "./workload-process.ts";
