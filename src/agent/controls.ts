// SPDX-License-Identifier: Apache-2.0
import type { Readiness } from "../model/readiness.ts";
import type { StatusSources } from "../status/index.ts";
import type { EnvoyLifecycle } from "./envoy-lifecycle.ts";
import type { Identity } from "./identity.ts";
import type { Shutdown } from "./lifecycle.ts";

export interface Controlled {
  readonly shutdown: Shutdown;
  readonly holds: Readiness;
  readonly lifecycle: EnvoyLifecycle;
  readonly identity: Identity;
}

/** What the control endpoints do. */
export function controls(controlled: Controlled): Pick<StatusSources, "quit" | "drain" | "rotate"> {
  const { shutdown, holds, lifecycle, identity } = controlled;
  return {
    quit: shutdown.quit.bind(shutdown),
    drain() {
      startDrain(shutdown, holds, lifecycle);
    },
    rotate: () => identity.renew("POST /rotate"),
  };
}

/** Further calls have no effect. A draining pod is unready in strict mode only: pilot-agent stays ready. */
function startDrain(shutdown: Shutdown, holds: Readiness, lifecycle: EnvoyLifecycle): void {
  shutdown.drainStarted();
  holds.hold("drain", "Envoy drains on request of POST /drain", () => false);
  lifecycle.startDrain();
}
