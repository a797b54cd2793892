// SPDX-License-Identifier: Apache-2.0
export { renderFindings, renderPeer, renderReport } from "./render-certs.ts";
export type { CertsReport, Finding } from "./report.ts";
export { inspectFiles, inspectWorkload, renewWorkload, verifyAsWorkload, type VerifyOptions } from "./run-certs.ts";
