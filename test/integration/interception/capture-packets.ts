// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import type { PacketNetwork } from "./packet-network.ts";

export interface PodSurroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** Addresses in the pod's resolv.conf. */
  readonly nameServers?: readonly string[];
}

/** Runs `istio-iptables` in the pod, as its init container does. */
export async function capture(
  network: PacketNetwork,
  backend: "iptables" | "nftables",
  args: readonly string[],
  { env = {}, nameServers = [] }: PodSurroundings = {},
): Promise<void> {
  await using directory = await temporaryDirectory();
  const resolvConf = join(directory.path, "resolv.conf");
  writeFileSync(resolvConf, nameServers.map((address) => `nameserver ${address}\n`).join(""));
  network.runInPod("mount", ["--bind", resolvConf, "/etc/resolv.conf"]);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const native = backend === "nftables" ? ["--native-nftables"] : [];
  network.runInPod("env", [...variables, join(projectRoot, "bin/attache"), "istio-iptables", ...args, ...native]);
}
