// SPDX-License-Identifier: Apache-2.0
export type { AgentEnd } from "./account.ts";
export { createRecorder, type Recorder } from "./recorder.ts";
export type { RecorderConfig } from "./recorder-config.ts";
