// SPDX-License-Identifier: Apache-2.0
export { readAgentEnvironment } from "./agent-processes.ts";
export { chooseJudgedAgent, type JudgedAgent } from "./judged-agent.ts";
export { diagnosisJson, renderDiagnosis } from "./render-doctor.ts";
export { runDoctor } from "./run-doctor.ts";
export { hostPortOf } from "../agent-client.ts";
