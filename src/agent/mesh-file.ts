// SPDX-License-Identifier: Apache-2.0
import type { CertStore } from "../cert/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { ModuleDeps } from "./types.ts";

/** For file systems that send no events. */
const meshFilePollMs = 30_000;

/** Trusts the anchors in the mesh file as it changes. A configuration that cannot be read keeps those of before. */
export function followMeshFile(
  meshFile: string,
  { certFiles }: AgentConfig,
  certs: CertStore,
  modules: AsyncDisposableStack,
  { clock, log, readConfig, fail }: ModuleDeps,
): void {
  const follow = async (signal: AbortSignal): Promise<void> => {
    const { watchFiles } = await import("../lib/fs/file-watch.ts");
    const options = { clock, debounceMs: certFiles.debounceMs, pollMs: meshFilePollMs };
    using outage = new OutageLog(log, clock);
    let last: string | undefined;
    for await (const report of watchFiles([meshFile], options, signal)) {
      const text = await readTextFile(meshFile).catch(() => undefined);
      if (text === undefined || text === last) continue;
      last = text;
      if (report === "start") continue;
      try {
        certs.setConfiguredAnchors((await readConfig()).cert.anchors);
        outage.works();
        log.info("mesh file changed: trust anchors read again", { path: meshFile });
      } catch (error) {
        const message = "cannot read the trust anchors of the changed mesh file; keeping the previous ones";
        outage.failed({ level: "warn", message, fields: { path: meshFile, error: describeError(error) } });
      }
    }
  };
  modules.use(startTask(follow, fail));
}
