// SPDX-License-Identifier: Apache-2.0
export { diagnosisJson, renderDiagnosis } from "./render-doctor.ts";
export { runDoctor } from "./run-doctor.ts";
