// SPDX-License-Identifier: Apache-2.0
import type { CertificateSigner, IdentityProvider } from "../cert/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";

/**
 * Where the workload's certificate comes from, as it was chosen once. What is started for it goes to `modules`.
 * @returns undefined when somebody else serves Envoy's certificate
 */
export async function createIdentitySource(
  config: AgentConfig,
  modules: AsyncDisposableStack,
  deps: Deps,
): Promise<CertificateSigner | IdentityProvider | undefined> {
  const { identity } = config;
  switch (identity.kind) {
    case "ca": {
      const { createCaClient } = await import("../ca/index.ts");
      return modules.use(createCaClient(config.ca, deps));
    }
    case "mounted-files": {
      const { createMountedIdentity } = await import("../cert/index.ts");
      return createMountedIdentity(identity, { clock: deps.clock, debounceMs: config.certFiles.debounceMs });
    }
    case "workload-api": {
      const { createWorkloadApi } = await import("../ca/index.ts");
      return createWorkloadApi(identity, deps);
    }
    case "external-sds":
      return undefined;
  }
}
