// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./async/clock.ts";
import type { Logger } from "./log/log.ts";

/** What tests must be able to replace, and nothing else. A module takes what it uses of it. */
export interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** For a part whose server died in mid-run: stops the agent with this error. */
  readonly fail: (error: unknown) => void;
}
