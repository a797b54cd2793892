// SPDX-License-Identifier: Apache-2.0
// Every example of every command's help, in a network of its own with the ports that a pod has, in a directory that is
// laid out as that of a sidecar container.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { commandTable } from "../../../src/cli/command-table.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { projectRoot } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const mayMakeNetworks = spawnSync("unshare", ["-n", "true"]).status === 0;
/** A drain ends the traffic, and `exec` the agent. */
const lastCommands = ["request", "exec"];
const exampleMs = 60_000;

interface Place {
  readonly directory: string;
  /** The process whose network the examples run in. */
  readonly network: number;
}

test.runIf(mayMakeNetworks)("every example of the help does what it says", { timeout: 240_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  layOut(directory);
  const holder = spawn("unshare", ["-n", "sh", "-c", "ip link set lo up && echo up && exec cat"], { stdio: "pipe" });
  stack.defer(() => end(holder));
  await once(holder.stdout, "data");
  const place = { directory, network: holder.pid ?? 0 };
  const lines = await readExamples();
  const [serveCa = "", ...caLines] = lines.get("ca") ?? [];
  const [sidecar = "", router = ""] = lines.get("proxy") ?? [];
  const [mesh = "", meshOnce = ""] = lines.get("dev") ?? [];
  const [run = "", runAnyway = ""] = lines.get("exec") ?? [];

  const ca = start(place, serveCa, "ca.log");
  stack.defer(() => end(ca));
  await eventually(() => expect(existsSync(join(directory, "istio-token"))).toBe(true), { withinMs: 10_000 });
  await succeeds(place, caLines);
  const first = start(place, sidecar, "sidecar.log");
  stack.defer(() => end(first));
  const others = [...lines].filter(([name]) => !["ca", "proxy", "dev", "exec", "wait"].includes(name));
  const order = others.toSorted(([a], [b]) => lastCommands.indexOf(a) - lastCommands.indexOf(b));
  await succeeds(place, [...(lines.get("wait") ?? []), ...order.flatMap(([, own]) => own), run]);
  expect(await exitOf(first)).toEqual([0, null]);

  const second = start(place, router, "router.log");
  stack.defer(() => end(second));
  await succeeds(place, [runAnyway, meshOnce]);
  expect(await exitOf(second)).toEqual([0, null]);
  const dev = start(place, mesh, "dev.log");
  stack.defer(() => end(dev));
  await eventually(() => expect(readFileSync(join(directory, "dev.log"), "utf8")).toContain("Ctrl-C"), {
    withinMs: 30_000,
  });
  expect(await ended(dev, "SIGINT")).toEqual([0, null]);
  expect(await ended(ca, "SIGTERM")).toEqual([0, null]);
});

async function readExamples(): Promise<ReadonlyMap<string, readonly string[]>> {
  const all = await commandTable.readAll();
  return new Map([...all].map(([name, { examples }]) => [name, examples.map(({ line }) => line)]));
}

/** What a sidecar container finds in its working directory. */
function layOut(directory: string): void {
  const mounts = join(directory, "var/run/secrets");
  for (const name of ["tokens", "istio"]) mkdirSync(join(mounts, name), { recursive: true });
  symlinkSync(join(directory, "istio-token"), join(mounts, "tokens/istio-token"));
  symlinkSync(join(directory, "attache-ca/root-cert.pem"), join(mounts, "istio/root-cert.pem"));
  mkdirSync(join(directory, "resources"));
  const template = readFileSync(join(projectRoot, "test/fixtures/pod/lds.yaml"), "utf8");
  writeFileSync(join(directory, "resources/lds.yaml"), template.replace("${INBOUND_PORT}", "8443"));
  writeFileSync(join(directory, "resources/cds.yaml"), "resources: []\n");
  writeFileSync(join(directory, "job"), "#!/bin/sh\necho done\n", { mode: 0o755 });
}

function start({ directory, network }: Place, line: string, log: string): ChildProcess {
  const words = ["-t", String(network), "-n", "bash", "-c", `exec ${line} >${log} 2>&1`];
  return spawn("nsenter", words, { cwd: directory, env: environment(directory), stdio: "ignore" });
}

/** Each exits with 0, and prints something unless its output goes elsewhere. A watch ends with Ctrl-C. */
async function succeeds({ directory, network }: Place, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const words = ["-t", String(network), "-n", "bash", "-c", line];
    const child = spawn("nsenter", words, { cwd: directory, env: environment(directory), timeout: exampleMs });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    }
    if (line.endsWith(" --watch")) child.stdout.once("data", () => child.kill("SIGINT"));
    expect(await once(child, "close"), `${line}\n${output}`).toEqual([0, null]);
    expect(line.includes(" > ") || output !== "", line).toBe(true);
  }
}

function environment(directory: string): NodeJS.ProcessEnv {
  const proxyConfig = { binaryPath: envoyBinary(), discoveryAddress: "localhost:15012", concurrency: 1 };
  return {
    PATH: [join(projectRoot, "bin"), process.env["PATH"]].join(delimiter),
    ENVOY_PATH: envoyBinary(),
    NO_COLOR: "1",
    ATTACHE_XDS_FILES: join(directory, "resources"),
    CA_ADDR: "localhost:15012",
    CLOUD_PLATFORM: "none",
    INSTANCE_IP: "127.0.0.1",
    MINIMUM_DRAIN_DURATION: "0s",
    POD_NAME: "web-1",
    POD_NAMESPACE: "default",
    PROXY_CONFIG: JSON.stringify({ ...proxyConfig, terminationDrainDuration: "1s" }),
    SERVICE_ACCOUNT: "web",
    TRUST_DOMAIN: "cluster.local",
  };
}

async function end(child: ChildProcess): Promise<void> {
  await ended(child, "SIGKILL");
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<readonly unknown[]> {
  child.kill(signal);
  return await exitOf(child);
}

async function exitOf(child: ChildProcess): Promise<readonly unknown[]> {
  const { exitCode, signalCode } = child;
  if (exitCode !== null || signalCode !== null) return [exitCode, signalCode];
  const exit: readonly unknown[] = await once(child, "exit");
  return exit;
}
