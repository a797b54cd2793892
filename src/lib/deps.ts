// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./async/clock.ts";
import type { Logger } from "./log/log.ts";

/** Dependencies that tests replace, and nothing else. A module declares only those that it uses. */
export interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** For a module whose server failed while the agent runs: stops the agent with this error. */
  readonly fail: (error: unknown) => void;
}
