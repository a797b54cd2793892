// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, closeSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { EnvoyAdmin } from "../../src/dev/envoy-admin.ts";
import { readPending } from "../../src/dev/workload-state.ts";
import { envoyBinary } from "./envoy-binary.ts";
import { eventually } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";
import { isRunning } from "./process-state.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { loopback, requestHttp } from "../../src/lib/net/http-client.ts";

export interface PodOptions {
  /** The CA that the agent is sent to, and the root by which it verifies its server; undefined mounts no root. */
  readonly ca: { readonly port: number; readonly serverRootPem: string | undefined };
  /** What is mounted as token; undefined mounts none. */
  readonly token?: string | undefined;
  /** Added to the environment of a plain pod, or replacing parts of it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Fields of PROXY_CONFIG on top of the ports. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** A descriptor for what agent and Envoy write; left out, a file, which `log` reads. */
  readonly output?: number;
  /** The agent's program, when it is another one. */
  readonly program?: string;
  /** Words before the program, which run it. */
  readonly launcher?: readonly string[];
  /** Words after `proxy sidecar`. */
  readonly args?: readonly string[];
  /** Runs before the agent starts. */
  readonly prepare?: (pod: { readonly directory: string; readonly ports: PodPorts }) => void | Promise<void>;
}

export interface PodPorts {
  readonly admin: number;
  readonly status: number;
  /** Readiness through Envoy. */
  readonly readiness: number;
  readonly metrics: number;
  /** An mTLS listener of Envoy, with the workload's certificate. */
  readonly inbound: number;
}

export interface PodExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A pod's directory with its mounts and resources, and the environment of its agent, which does not run. Disposing it
 * removes the directory.
 */
export interface PreparedPod extends AsyncDisposable {
  readonly directory: string;
  readonly ports: PodPorts;
  readonly env: Readonly<Record<string, string>>;
}

/** The built agent as a child process with a real Envoy, in a directory of its own. Disposing it kills both. */
export interface Pod extends PreparedPod {
  readonly pid: number;
  readonly exited: Promise<PodExit>;
  readonly envoyAdmin: EnvoyAdmin;
  kill(signal: NodeJS.Signals): void;
  /** What agent and Envoy have written so far. */
  log(): string;
  /** The processes below this one that work in the pod's directory, the agent aside. */
  envoyPids(): readonly number[];
  /** The status that a kubelet is answered; unless it is 200 also what the agent says to be pending, one thing a line. */
  readiness(): Promise<{ readonly status: number; readonly body: string }>;
  /** Serials of the certificates that Envoy uses; empty while it has none. @throws while it does not answer */
  serials(): Promise<readonly string[]>;
  untilReady(withinMs?: number): Promise<void>;
}

const root = join(import.meta.dirname, "../..");

export async function preparePod(options: PodOptions): Promise<PreparedPod> {
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const [admin = 0, status = 0, readiness = 0, metrics = 0, inbound = 0] = await freePorts(5);
  const ports: PodPorts = { admin, status, readiness, metrics, inbound };
  writeMounts(directory, options);
  writeResources(directory, inbound);
  await options.prepare?.({ directory, ports });
  const owned = stack.move();
  const env = agentEnv(directory, options, ports);
  return { directory, ports, env, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export async function startPod(options: PodOptions): Promise<Pod> {
  await using stack = new AsyncDisposableStack();
  const prepared = stack.use(await preparePod(options));
  const { directory, ports } = prepared;
  const { admin, status } = ports;
  const child = spawnAgent(prepared, options);
  const exited = new Promise<PodExit>((resolve) => {
    child.once("exit", (code, signal) => {
      resolve({ code, signal });
    });
  });
  stack.defer(async () => {
    child.kill("SIGKILL");
    await exited;
    for (const pid of processesIn(directory)) endProcess(pid);
    await eventually(
      () => {
        assertNone(processesIn(directory));
      },
      { withinMs: 3_000 },
    );
  });
  const owned = stack.move();
  const signal = new AbortController().signal;
  const envoyAdmin = new EnvoyAdmin(admin);
  const log = (): string => readFileSync(join(directory, "log"), "utf8");
  const askReadiness: Pod["readiness"] = async () => {
    const plain = await requestHttp({ url: loopback(status, "/healthz/ready") }, signal);
    const pending = plain.status === 200 ? [] : await readPending(ports, signal);
    return { status: plain.status, body: pending.join("\n") };
  };
  return {
    ...prepared,
    pid: child.pid ?? 0,
    exited,
    envoyAdmin,
    kill: (name) => child.kill(name),
    log,
    envoyPids: () => processesIn(directory).filter((pid) => pid !== child.pid),
    readiness: askReadiness,
    serials: async () => (await envoyAdmin.certificates(signal)).map((certificate) => certificate.serial),
    untilReady: async (withinMs = 10_000) => {
      const ended = exited.then((exit) => {
        throw new Error(`the agent ended before it was ready: ${JSON.stringify(exit)}\n${log()}`);
      });
      const ready = eventually(
        async () => {
          const answer = await askReadiness();
          if (answer.status !== 200) throw new Error(`not ready: ${answer.body}\n${log()}`);
        },
        { withinMs },
      );
      await Promise.race([ready, ended]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Waits until Envoy has one certificate, and none of `before`. */
export async function untilRotated(pod: Pick<Pod, "serials">, before: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const [serial, ...others] = await pod.serials();
      assert.ok(serial !== undefined && others.length === 0, `${String(others.length)} other certificates`);
      assert.ok(!before.includes(serial), `${serial} is still in use`);
    },
    { withinMs: 10_000 },
  );
}

function writeMounts(directory: string, { ca, token = "a-token" }: PodOptions): void {
  const mount = (name: string, text: string | undefined): void => {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (text !== undefined) writeFileSync(path, text);
  };
  mount("var/run/secrets/tokens/istio-token", token === "" ? undefined : token);
  mount("var/run/secrets/istio/root-cert.pem", ca.serverRootPem);
}

function spawnAgent({ directory, env }: PreparedPod, options: PodOptions): ChildProcess {
  const { launcher = [], args = [] } = options;
  const agent = options.program ?? join(root, "bin/attache");
  const log = openSync(join(directory, "log"), "w");
  const [program = "", ...words] = [...launcher, agent, "proxy", "sidecar", ...args];
  const stdio = ["ignore", options.output ?? log, options.output ?? log] as const;
  const child = spawn(program, words, { cwd: directory, stdio: [...stdio], env });
  closeSync(log);
  return child;
}

function agentEnv(
  directory: string,
  { ca, env = {}, proxyConfig = {} }: PodOptions,
  ports: PodPorts,
): Readonly<Record<string, string>> {
  return {
    PATH: process.env["PATH"] ?? "",
    TMPDIR: tmpdir(),
    ATTACHE_XDS_FILES: join(directory, "resources"),
    CA_ADDR: `localhost:${String(ca.port)}`,
    CLOUD_PLATFORM: "none",
    ECC_SIGNATURE_ALGORITHM: "ECDSA",
    ENVOY_PROMETHEUS_PORT: String(ports.metrics),
    ENVOY_STATUS_PORT: String(ports.readiness),
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true",
    INSTANCE_IP: "127.0.0.1",
    MINIMUM_DRAIN_DURATION: "0s",
    POD_NAME: "pod-1",
    POD_NAMESPACE: "demo",
    PROXY_CONFIG: JSON.stringify({
      binaryPath: envoyBinary(),
      concurrency: 1,
      discoveryAddress: `localhost:${String(ca.port)}`,
      proxyAdminPort: ports.admin,
      statusPort: ports.status,
      terminationDrainDuration: "1s",
      ...proxyConfig,
    }),
    SERVICE_ACCOUNT: "web",
    TRUST_DOMAIN: "cluster.local",
    ...env,
  };
}

/** One mTLS listener that answers by itself, so that Envoy asks for the workload's certificate. */
function writeResources(directory: string, inboundPort: number): void {
  const folder = join(directory, "resources");
  mkdirSync(folder);
  const template = readFileSync(join(import.meta.dirname, "../fixtures/pod/lds.yaml"), "utf8");
  writeFileSync(join(folder, "lds.yaml"), template.replace("${INBOUND_PORT}", String(inboundPort)));
  writeFileSync(join(folder, "cds.yaml"), "resources: []\n");
}

/** Everything that was started in the pod: a process keeps its working directory. */
function processesIn(directory: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && workingDirectory(name) === directory)
    .map(Number)
    .filter(isRunning);
}

function workingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

function assertNone(pids: readonly number[]): void {
  if (pids.length > 0) throw new Error(`processes of the pod still run: ${pids.join(", ")}`);
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
