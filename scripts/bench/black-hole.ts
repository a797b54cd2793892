// SPDX-License-Identifier: Apache-2.0
// Starts in a network where the clouds' metadata address swallows every packet.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";

const root = join(import.meta.dirname, "../..");

/** A network of its own; as an ordinary user with a user namespace, where that is allowed. */
const unshare = process.getuid?.() === 0 ? ["unshare", "-n"] : ["unshare", "-rn"];

const network = [
  "ip link set lo up",
  "ip link add eth0 type veth peer name hole0",
  "ip address add 10.1.2.3/24 dev eth0",
  "ip link set eth0 up",
  "ip link set hole0 up",
  "ip neighbour add 10.1.2.1 lladdr 02:00:00:00:00:01 dev eth0",
  "ip route add default via 10.1.2.1",
].join(" && ");

/** Whether such a network can be made here. */
export function canBlackHole(): boolean {
  const [command = "", ...args] = unshare;
  return spawnSync(command, [...args, "sh", "-c", network]).status === 0;
}

/**
 * One start of the agent with a stand-in for Envoy that says that it runs.
 * @param platform `CLOUD_PLATFORM`; undefined leaves it to the agent to find out
 * @returns milliseconds from the launcher's start to the stand-in's first line
 */
export async function execInBlackHoleMs(platform: string | undefined): Promise<number> {
  await using directory = await temporaryDirectory();
  const mount = join(directory.path, "var/run/secrets/istio");
  mkdirSync(mount, { recursive: true });
  copyFileSync(join(root, "test/parity/fixtures/root-cert.pem"), join(mount, "root-cert.pem"));
  writeFileSync(join(directory.path, "envoy"), "#!/bin/sh\necho envoy-runs\nexec sleep 60\n", { mode: 0o755 });
  const [command = "", ...args] = unshare;
  const script = `${network} && echo agent-starts && exec ${join(root, "bin/attache")} proxy sidecar`;
  const child = spawn(command, [...args, "sh", "-c", script], {
    cwd: directory.path,
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      PATH: process.env["PATH"] ?? "",
      POD_NAME: "web-1",
      POD_NAMESPACE: "demo",
      SERVICE_ACCOUNT: "web",
      INSTANCE_IP: "10.1.2.3",
      PROXY_CONFIG: JSON.stringify({ binaryPath: "./envoy" }),
      ...(platform === undefined ? {} : { CLOUD_PLATFORM: platform }),
    },
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  try {
    return await between(child.stdout, "agent-starts", "envoy-runs");
  } finally {
    child.kill("SIGKILL");
    await gone;
  }
}

async function between(output: AsyncIterable<Buffer>, first: string, second: string): Promise<number> {
  let text = "";
  let startMs = Number.NaN;
  for await (const piece of output) {
    text += piece.toString();
    if (Number.isNaN(startMs) && text.includes(first)) startMs = performance.now();
    if (text.includes(second)) return performance.now() - startMs;
  }
  throw new Error(`the agent ended before it started Envoy:\n${text}`);
}
