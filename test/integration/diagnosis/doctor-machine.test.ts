// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { createSocket } from "node:dgram";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { makeMemoryGroup, makeProcessorGroup, makeTaskGroup } from "../../support/control-group.ts";
import { type DoctorRun, type DoctorRunOptions, machineProblems, runDoctorIn } from "../../support/doctor-run.ts";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { type PodOptions, type PodPorts, preparePod } from "../../support/pod.ts";
import { projectRoot } from "../../support/run-program.ts";

let ca: FakeCa;
beforeAll(async () => {
  ca = await startFakeCa();
});
afterAll(async () => {
  await ca[Symbol.asyncDispose]();
});

interface Place {
  readonly directory: string;
  readonly ports: PodPorts;
}

/** A fault that is planted where no agent runs. */
interface Fault {
  readonly name: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  readonly plant?: (place: Place) => Promise<AsyncDisposable | undefined> | undefined;
  /** Words before the command. */
  readonly launcher?: (place: Place) => readonly string[];
  /** The findings that are not in order, in full or in part: nothing else is found. */
  readonly expected: (place: Place) => readonly string[];
}

interface Diagnosed {
  readonly problems: readonly string[];
  readonly findings: DoctorRun["findings"];
  readonly place: Place;
}

async function diagnose(fault: Omit<Fault, "expected" | "name">): Promise<Diagnosed> {
  const { env = {}, proxyConfig = {} } = fault;
  const options: PodOptions = { ca, env, proxyConfig };
  await using pod = await preparePod(options);
  await using _planted = (await fault.plant?.(pod)) ?? { [Symbol.asyncDispose]: () => Promise.resolve() };
  const launcher = fault.launcher?.(pod);
  const run: DoctorRunOptions = launcher === undefined ? {} : { launcher };
  const report = await runDoctorIn(pod, run);
  expect(report.durationSeconds).toBeLessThan(5);
  for (const { outcome, cure } of report.findings) expect(outcome === "ok" || cure?.endsWith(".")).toBe(true);
  return { problems: machineProblems(report), findings: report.findings, place: pod };
}

async function expectFault(fault: Fault): Promise<void> {
  const { problems, place } = await diagnose(fault);
  const expected = fault.expected(place);
  expect(problems.map((text, index) => (text.includes(expected[index] ?? "?") ? expected[index] : text))).toEqual(
    expected,
  );
}

test("nothing is wrong where an agent can be started", async () => {
  expect((await diagnose({})).problems).toEqual([]);
});

function inMounts(script: string): readonly string[] {
  return ["unshare", "-m", "sh", "-ec", `${script}; exec "$@"`, "sh"];
}

const sdsPath = "var/run/secrets/workload-spiffe-uds/socket";

function directoryOf({ directory }: Place, path: string): string {
  const made = join(directory, path);
  mkdirSync(made, { recursive: true });
  return made;
}

async function closed(server: { close(callback: () => void): unknown }): Promise<void> {
  await new Promise<void>((resolve) => server.close(resolve));
}

async function listenOn(address: number | string): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  server.listen(address);
  await once(server, "listening");
  return { [Symbol.asyncDispose]: () => closed(server) };
}

/** A socket whose server has ended without removing it. */
async function leaveSocket(path: string): Promise<undefined> {
  mkdirSync(dirname(path), { recursive: true });
  const server = createServer().listen(`${path}.new`);
  await once(server, "listening");
  renameSync(`${path}.new`, path);
  await closed(server);
}

const pathFaults: readonly Fault[] = [
  {
    name: "the socket directory is read-only",
    plant: (place) => void directoryOf(place, dirname(sdsPath)),
    launcher: (place) => {
      const path = directoryOf(place, dirname(sdsPath));
      return inMounts(`mount --bind ${path} ${path}; mount -o remount,ro,bind ${path}`);
    },
    expected: () => ["fail sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket cannot be made:"],
  },
  {
    name: "the path of a socket is too long",
    env: { ATTACHE_XDS_FILES: "" },
    proxyConfig: { configPath: `./etc/${"long/".repeat(22)}proxy` },
    expected: () => ["fail sockets.xds: ./etc/long"],
  },
  {
    name: "a socket is stale",
    plant: ({ directory }) => leaveSocket(join(directory, sdsPath)),
    expected: () => ["warn sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket is stale"],
  },
  {
    name: "a file is in the place of a socket",
    plant: (place) => {
      writeFileSync(join(directoryOf(place, dirname(sdsPath)), "socket"), "");
      return undefined;
    },
    expected: () => ["fail sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket is a file, not a socket"],
  },
  {
    name: "another process serves the socket",
    plant: (place) => listenOn(join(directoryOf(place, dirname(sdsPath)), "socket")),
    expected: () => [`fail sockets.sds: ./var/run/secrets/workload-spiffe-uds/socket is served by `],
  },
  {
    name: "the directory of the bootstrap is read-only",
    plant: (place) => void directoryOf(place, "etc/istio"),
    launcher: (place) => {
      const path = directoryOf(place, "etc/istio");
      return inMounts(`mount --bind ${path} ${path}; mount -o remount,ro,bind ${path}`);
    },
    expected: () => ["fail paths.bootstrap: etc/istio/proxy cannot be written (Envoy's bootstrap, "],
  },
  {
    name: "the file system of the bootstrap is full",
    plant: (place) => void directoryOf(place, "etc/istio/proxy"),
    launcher: (place) => inMounts(`mount -t tmpfs -o size=64k none ${join(place.directory, "etc/istio/proxy")}`),
    expected: () => [
      "fail paths.bootstrap: etc/istio/proxy (Envoy's bootstrap, the bootstrap of gRPC applications): the file system of ",
    ],
  },
  {
    name: "the file system of the bootstrap has no inodes left",
    plant: (place) => void directoryOf(place, "etc/istio/proxy"),
    launcher: (place) => inMounts(`mount -t tmpfs -o nr_inodes=2 none ${join(place.directory, "etc/istio/proxy")}`),
    expected: () => [
      "fail paths.bootstrap: etc/istio/proxy (Envoy's bootstrap, the bootstrap of gRPC applications): the file system of ",
    ],
  },
  {
    name: "a file is in the place of the directory for certificates",
    env: { OUTPUT_CERTS: "certs/out" },
    plant: ({ directory }) => {
      writeFileSync(join(directory, "certs"), "");
      return undefined;
    },
    expected: (place) => [`fail paths.certificates: ${place.directory}/certs/out cannot be written (certificates)`],
  },
  {
    name: "a directory that only helps cannot be made",
    env: { ATTACHE_IDENTITY_CACHE: "cache" },
    plant: ({ directory }) => {
      writeFileSync(join(directory, "cache"), "");
      return undefined;
    },
    expected: ({ directory }) => [`warn paths.identity-cache: ${directory}/cache cannot be written`],
  },
];

const portFaults: readonly Fault[] = [
  ...(["status", "readiness", "metrics", "admin"] as const).map(
    (name): Fault => ({
      name: `the port ${name} is taken`,
      plant: ({ ports }) => listenOn(ports[name]),
      expected: ({ ports }) => [`fail ports.${String(ports[name])}: port ${String(ports[name])} (`],
    }),
  ),
  {
    name: "the DNS proxy's port is taken over UDP",
    env: { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: "localhost:20053" },
    plant: async () => {
      const socket = createSocket("udp4").bind(20_053, "127.0.0.1");
      await once(socket, "listening");
      return { [Symbol.asyncDispose]: () => closed(socket) };
    },
    expected: () => ["fail ports.20053: port 20053 (the DNS proxy) is held by "],
  },
  {
    name: "a port is configured twice",
    env: { ENVOY_STATUS_PORT: "20021", ENVOY_PROMETHEUS_PORT: "20021" },
    expected: () => ["fail ports.20021: port 20021 is configured twice"],
  },
  {
    name: "the application declares a port of Envoy",
    env: { ENVOY_STATUS_PORT: "20021", ISTIO_META_POD_PORTS: '[{"containerPort":20021}]' },
    expected: () => [
      "warn ports.20021: the application uses port 20021 (ISTIO_META_POD_PORTS), which is Envoy's readiness",
    ],
  },
];

test.each([...pathFaults, ...portFaults])("$name", expectFault);

function program(place: Place, text: string | Buffer, mode = 0o755): undefined {
  const path = join(place.directory, "envoy");
  writeFileSync(path, text);
  chmodSync(path, mode);
}

function foreignElf(): Buffer {
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0x7f454c46, 0);
  head[5] = 1;
  head.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18);
  return head;
}

const ownEnvoy = { proxyConfig: { binaryPath: "./envoy" } };

const envoyFaults: readonly Fault[] = [
  { name: "Envoy is missing", ...ownEnvoy, expected: () => ["fail envoy.binary: there is no Envoy at "] },
  {
    name: "Envoy is not executable",
    ...ownEnvoy,
    plant: (place) => program(place, "#!/bin/sh\n", 0o644),
    expected: ({ directory }) => [`fail envoy.binary: ${directory}/envoy is not executable`],
  },
  {
    name: "Envoy is built for another architecture",
    ...ownEnvoy,
    plant: (place) => program(place, foreignElf()),
    expected: ({ directory }) => [`fail envoy.binary: ${directory}/envoy is built for `],
  },
  {
    name: "Envoy is no program",
    ...ownEnvoy,
    plant: (place) => program(place, "<html>not found"),
    expected: ({ directory }) => [`fail envoy.binary: ${directory}/envoy is not a program`],
  },
  {
    name: "Envoy is too old",
    ...ownEnvoy,
    plant: (place) => program(place, "#!/bin/sh\necho 'envoy  version: abc/1.30.1/Clean/RELEASE/BoringSSL'\n"),
    expected: () => ["warn envoy.version: Envoy 1.30.1 is too old: 1.37 or later is supported"],
  },
  {
    name: "Envoy does not say its version",
    ...ownEnvoy,
    plant: (place) => program(place, "#!/bin/sh\necho 'nginx version: nginx/1.25.1'\n"),
    expected: () => ["warn envoy.version: "],
  },
  {
    name: "Envoy fails at once",
    ...ownEnvoy,
    plant: (place) => program(place, "#!/bin/sh\necho 'libfoo.so: not found' >&2; exit 127\n"),
    expected: ({ directory }) => [
      `fail envoy.version: ${directory}/envoy --version: exit code 127: libfoo.so: not found`,
    ],
  },
  {
    name: "Envoy hangs",
    ...ownEnvoy,
    plant: (place) => program(place, "#!/bin/sh\nsleep 60\n"),
    expected: ({ directory }) => [`fail envoy.version: ${directory}/envoy --version: no output within 1500 ms`],
  },
  {
    name: "Envoy lacks the filters of Istio's control plane",
    env: { ATTACHE_XDS_FILES: "" },
    proxyConfig: { discoveryAddress: "istiod.istio-system.svc:15012" },
    expected: () => ["warn envoy.extensions: "],
  },
];

const settingFaults: readonly Fault[] = [
  {
    name: "a variable of the agent is unknown",
    env: { ATTACHE_XDS_CACH: "/tmp/cache" },
    expected: () => ["warn settings.warning: ATTACHE_XDS_CACH: unknown variable"],
  },
  {
    name: "a setting has no effect beside another",
    env: { ATTACHE_XDS_CACHE: "cache" },
    expected: () => ["warn settings.contradiction: ATTACHE_XDS_CACHE has no effect: with ATTACHE_XDS_FILES"],
  },
  {
    name: "a variable is misspelt",
    env: { MINIMUM_DRAIN_DURATON: "5s" },
    expected: () => ["warn settings.variable: MINIMUM_DRAIN_DURATON is not a variable of the agent"],
  },
  {
    name: "the agent of a pod runs as root",
    env: { KUBERNETES_SERVICE_HOST: "10.0.0.1" },
    expected: () => ["warn process.user: the agent runs as root"],
  },
  {
    name: "few files may be open",
    launcher: () => ["prlimit", "--nofile=256:256"],
    expected: () => ["fail limits.open-files: 256 open files"],
  },
  {
    name: "no more than some files may be open",
    launcher: () => ["prlimit", "--nofile=1024:2048"],
    expected: () => ["warn limits.open-files: 2048 open files"],
  },
];

test.each([...envoyFaults, ...settingFaults])("$name", expectFault);

test.each([
  ["memory", () => makeMemoryGroup(54 * 1024 * 1024), "fail limits.memory: the memory limit is 54 MiB"],
  [
    "memory for a small mesh",
    () => makeMemoryGroup(80 * 1024 * 1024),
    "warn limits.memory: the memory limit is 80 MiB",
  ],
  ["processor time", () => makeProcessorGroup(90), "warn limits.cpu: the CPU limit is 90m"],
  ["processes", () => makeTaskGroup(48), "fail limits.pids: at most 48 processes and threads"],
] as const)("the container has little: %s", async (_what, make, expected) => {
  using group = make();
  if (group === undefined) return;
  await expectFault({ name: "", launcher: () => group.launcher, expected: () => [expected] });
});

const attache = join(projectRoot, "bin/attache");
const injected = "-m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020";
const captured = { ISTIO_META_INTERCEPTION_MODE: "REDIRECT" };

const network =
  "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0; ip link set v0 up; ip link set v1 up";

/** In a network namespace of its own, with the rules of these options. */
function withRules(options: string | undefined, change = ""): () => readonly string[] {
  const apply = options === undefined ? "" : `${attache} istio-iptables ${options} >&2; ${change}`;
  return () => ["unshare", "-n", "sh", "-ec", `${network}; ${apply} exec "$@"`, "sh"];
}

const rulesOfRoot = `-p 15001 -z 15006 -u 0 -g 0 ${injected}`;

const ruleFaults: readonly Fault[] = [
  { name: "nothing: the rules fit", env: captured, launcher: withRules(rulesOfRoot), expected: () => [] },
  {
    name: "nothing: the rules of nftables fit",
    env: captured,
    launcher: withRules(`${rulesOfRoot} --native-nftables`),
    expected: () => [],
  },
  {
    name: "there are no rules",
    env: captured,
    launcher: withRules(undefined),
    expected: () => ["fail interception: there are no rules, although REDIRECT is configured"],
  },
  {
    name: "the rules have another port",
    env: captured,
    launcher: withRules(`-p 15001 -z 15555 -u 0 -g 0 ${injected}`),
    expected: () => ["fail interception.ports: the rules send connections to port 15555"],
  },
  {
    name: "the rules exempt another user",
    env: captured,
    launcher: withRules(`-p 15001 -z 15006 -u 1337 -g 1337 ${injected}`),
    expected: () => ["warn interception.user: the rules exempt uid 1337, gid 1337"],
  },
  {
    name: "the rules of nftables exempt another user",
    env: captured,
    launcher: withRules(`-p 15001 -z 15006 -u 1337 -g 1337 ${injected} --native-nftables`),
    expected: () => ["warn interception.user: the rules exempt uid 1337, gid 1337"],
  },
  {
    name: "the rules capture DNS, and the agent has no proxy for it",
    env: captured,
    launcher: withRules(`${rulesOfRoot} --redirect-dns --capture-all-dns`),
    expected: () => ["fail interception.dns: the rules send DNS queries to port 15053"],
  },
  {
    name: "the agent's DNS proxy gets no queries",
    env: { ...captured, ISTIO_META_DNS_CAPTURE: "true" },
    launcher: withRules(`${rulesOfRoot} --redirect-dns=false`),
    expected: () => ["warn interception.dns: the agent has a DNS proxy, and no rule sends queries to it"],
  },
  {
    name: "the rules are of another mode",
    env: { ISTIO_META_INTERCEPTION_MODE: "TPROXY" },
    launcher: withRules(rulesOfRoot),
    expected: () => [
      "fail interception.mode: the rules are those of REDIRECT, and ISTIO_META_INTERCEPTION_MODE is TPROXY",
    ],
  },
];

/** What somebody else's program did to the rules, and which chain is broken by it. */
const brokenRules = [
  ["iptables -t nat -F ISTIO_INBOUND", "ISTIO_INBOUND", "has no rules any more"],
  ["iptables -t nat -F OUTPUT", "ISTIO_OUTPUT", "has rules, but no rule leads to it"],
  ["iptables -t nat -I PREROUTING -j ACCEPT", "ISTIO_INBOUND", "has rules, but no rule leads to it"],
  ["iptables -t nat -F ISTIO_REDIRECT", "ISTIO_REDIRECT", "has no rules any more"],
  ["nft flush chain inet istio-proxy-nat istio-inbound", "istio-inbound", "has no rules any more"],
  ["nft flush chain inet istio-proxy-nat output", "istio-output", "has rules, but no rule leads to it"],
] as const;

test.runIf(mayMakeNetworks).each(brokenRules)("interception: rules are broken by %s", async (change, chain, what) => {
  const native = change.startsWith("nft") ? " --native-nftables" : "";
  const { findings } = await diagnose({ env: captured, launcher: withRules(`${rulesOfRoot}${native}`, `${change};`) });
  const found = findings.filter(({ check, outcome }) => check.startsWith("interception") && outcome !== "ok");
  expect(found).toHaveLength(1);
  expect(found[0]?.fact).toMatch(new RegExp(`^chain ${chain} \\(.*\\) ${what}`));
});

test.runIf(mayMakeNetworks)("interception: chains without any rule are no interception", async () => {
  const flush = "iptables -t nat -F; ip6tables -t nat -F;";
  await expectFault({
    name: "",
    env: captured,
    launcher: withRules(rulesOfRoot, flush),
    expected: () => ["fail interception.chains: the chains of Istio's rules are there"],
  });
});

test.runIf(mayMakeNetworks).each(ruleFaults)("interception: $name", expectFault);

/** The rules, a listener in the place of Envoy's, and the command as the proxy's user without capabilities. */
function asProxy(rules: string): () => readonly string[] {
  const user = "setpriv --reuid 1337 --regid 1337 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
  const serve =
    'require("node:net").createServer((socket) => socket.destroy()).listen(15006, "0.0.0.0", () => console.log(1))';
  const listener = `coproc=$(mktemp -u); mkfifo $coproc; ${process.execPath} -e '${serve}' > $coproc & read _ < $coproc; rm $coproc`;
  const script = `${network}; ${rules} ${listener}; chmod 711 "$PWD/.." "$PWD"; ${user} "$@"; code=$?; kill $!; exit $code`;
  return () => ["unshare", "-n", "sh", "-c", script, "sh"];
}

test.runIf(mayMakeNetworks).each([
  ["captured", "-u 1337 -g 1337", true],
  ["captured, but for another user", "-u 99 -g 99", false],
  ["not captured", undefined, false],
] as const)("without capabilities, a connection tells that traffic is %s", async (_what, user, isCaptured) => {
  const rules = `${attache} istio-iptables -p 15001 -z 15006 ${user ?? ""} ${injected} >&2;`;
  const { findings } = await diagnose({ env: captured, launcher: asProxy(user === undefined ? "" : rules) });
  const found = findings.filter(({ check }) => check === "interception");
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject(
    isCaptured
      ? { outcome: "ok", fact: "a connection as Envoy's uid 1337 is captured" }
      : {
          outcome: "warn",
          fact: expect.stringContaining("a connection as Envoy's uid 1337 is not captured") as unknown,
        },
  );
});
