// SPDX-License-Identifier: Apache-2.0
export type { CrashReportConfig } from "./crash-report.ts";
export {
  createFlightRecorder,
  type FlightRecorder,
  type LoggedProblem,
  type RecordedEvents,
} from "./flight-recorder.ts";
