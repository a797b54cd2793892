// SPDX-License-Identifier: Apache-2.0
import { normalize } from "node:path";
import type { BootstrapConfig } from "../../bootstrap/bootstrap-config.ts";
import type { BootstrapSource } from "../agent-config.ts";
import { type Sources, places } from "../sources/sources.ts";

/** A document that the agent makes, or the file that Envoy is to take as it is. */
export function bootstrapSource(sources: Sources, config: BootstrapConfig): BootstrapSource {
  const { proxy, input, findings } = sources;
  const custom = proxy.customConfigFile ?? "";
  if (custom === "") {
    refuseTemplates(sources);
    return { kind: "generated", path: normalize(`${proxy.configPath}/envoy-rev.json`), config };
  }
  if (input.readFile(custom).kind !== "text") {
    findings.problem("customConfigFile", `${custom} cannot be read; Envoy needs it as its bootstrap`);
  }
  return { kind: "file", path: custom };
}

/**
 * A template of one's own is refused instead of ignored; that of the image stands for the document that the agent
 * makes anyway.
 */
function refuseTemplates({ env, flags, proxy, findings }: Sources): void {
  const given = [
    ["ISTIO_BOOTSTRAP", env.string("ISTIO_BOOTSTRAP")],
    ["--templateFile", flags.templateFile],
    ["proxyBootstrapTemplatePath", proxy.proxyBootstrapTemplatePath ?? ""],
  ] as const;
  for (const [source, path] of given) {
    if (path === "" || normalize(`/${path}`) === normalize(`/${places.template}`)) continue;
    findings.problem(
      source,
      `bootstrap templates are not supported (${path}); use ISTIO_BOOTSTRAP_OVERRIDE with the parts to change, or customConfigFile with a whole bootstrap`,
    );
  }
}
