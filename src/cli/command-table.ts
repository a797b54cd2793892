// SPDX-License-Identifier: Apache-2.0
import type { Command, CommandTable } from "./command.ts";

const modules: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  proxy: () => import("./commands/proxy.ts"),
  bundle: () => import("./commands/bundle.ts"),
  ca: () => import("./commands/ca.ts"),
  certs: () => import("./commands/certs.ts"),
  completion: () => import("./commands/completion.ts"),
  config: () => import("./commands/config.ts"),
  dev: () => import("./commands/dev.ts"),
  doctor: () => import("./commands/doctor.ts"),
  exec: () => import("./commands/exec.ts"),
  explain: () => import("./commands/explain.ts"),
  "istio-iptables": () => import("./commands/istio-iptables.ts"),
  help: () => import("./commands/help.ts"),
  log: () => import("./commands/log.ts"),
  request: () => import("./commands/request.ts"),
  status: () => import("./commands/status.ts"),
  version: () => import("./commands/version.ts"),
  wait: () => import("./commands/wait.ts"),
};

/** Every command of the program. Only the one that runs is loaded. */
export const commandTable: CommandTable = {
  names: Object.keys(modules),
  find: async (name) => (Object.hasOwn(modules, name) ? (await modules[name]?.())?.command : undefined),
  async readAll() {
    const entries = Object.entries(modules).map(async ([name, load]) => [name, (await load()).command] as const);
    return new Map(await Promise.all(entries));
  },
};
