// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import type { AppProber } from "./app-probe.ts";
import type { Permits } from "./permits.ts";
import type { ProbeRecord } from "./probe-record.ts";
import type { ReadinessJudge } from "./readiness-judge.ts";
import type { StatusConfig } from "./status-config.ts";
import type { StatusSources } from "./status-sources.ts";
import type { Turns } from "./turns.ts";

/** What the handlers work with. */
export interface RouteContext {
  readonly config: StatusConfig;
  readonly sources: StatusSources;
  readonly judge: ReadinessJudge;
  readonly prober: AppProber;
  readonly probeRecord: ProbeRecord;
  readonly clock: Clock;
  /** For scrapes: each of them keeps some memory and takes its time. */
  readonly permits: Permits;
  /** For what takes longer than a probe. */
  readonly turns: Turns;
  readonly log: Logger;
}

/** One request on its way to a handler. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Decoded once; not to be interpreted further. */
  readonly path: string;
  readonly query: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
}
