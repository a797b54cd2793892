// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { netAdmin, parseCapability } from "../../../../src/diagnosis/doctor/machine/capabilities.ts";
import { counterOf, groupDirectories } from "../../../../src/diagnosis/doctor/machine/control-group-files.ts";
import { ownMachine, parseProgramHead } from "../../../../src/diagnosis/doctor/machine/elf.ts";
import { parseVersion } from "../../../../src/diagnosis/doctor/machine/envoy-binary.ts";
import { missingExtension } from "../../../../src/diagnosis/doctor/machine/envoy-rejections.ts";
import { applicationPorts } from "../../../../src/diagnosis/doctor/machine/own-ports.ts";
import { isAgent, parseStat, parseUser } from "../../../../src/diagnosis/doctor/machine/processes.ts";
import { parseListeningPaths } from "../../../../src/diagnosis/doctor/machine/unix-sockets.ts";
import { mayAccess } from "../../../../src/diagnosis/doctor/machine/write-access.ts";

test("a process is read whatever its name", () => {
  const stat = "17 (a) b (c)) T 1 17 17 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 12345 6 7";
  const facts = { name: "a) b (c)", state: "T", parentPid: 1, startedAtSeconds: 123.45 };
  expect(parseStat(stat)).toEqual(facts);
  expect(parseStat("")).toBeUndefined();
});

test("an agent is recognised by its command line, however it was started", () => {
  const words = (text: string): { args: readonly string[] } => ({ args: text.split(" ") });
  expect(isAgent(words("/bin/node --eval x /app/dist/attache.cjs proxy sidecar"))).toBe(true);
  expect(isAgent(words("/usr/local/bin/pilot-agent proxy sidecar --domain x"))).toBe(true);
  expect(isAgent(words("node server.js proxy"))).toBe(false);
  expect(isAgent(words("attache doctor"))).toBe(false);
});

test("the effective user of a process has its groups", () => {
  const status =
    "Name:\tenvoy\nUid:\t0\t1337\t0\t0\nGid:\t0\t1338\t0\t0\nGroups:\t4 1338 \nCapEff:\t0000000000001000\n";
  expect(parseUser(status)).toEqual({ uid: 1337, gids: [1338, 4] });
  expect(parseCapability(status, netAdmin)).toBe(true);
  expect(parseCapability("CapEff:\t0000000000000400\n", netAdmin)).toBe(false);
});

test("the mode of a file decides by the first class that fits", () => {
  const file = { uid: 1, gid: 2, mode: 0o100_604 };
  expect(mayAccess(file, { uid: 1, gids: [9] }, 0o2)).toBe(true);
  expect(mayAccess(file, { uid: 5, gids: [2] }, 0o4)).toBe(false);
  expect(mayAccess(file, { uid: 5, gids: [9] }, 0o4)).toBe(true);
  expect(mayAccess(file, { uid: 0, gids: [0] }, 0o2)).toBe(true);
});

test("control groups are looked for innermost first, in the container's mount too", () => {
  expect(groupDirectories("0::/a/b\n", "cpu", "/m")).toEqual([
    { version: 2, path: "/m/a/b" },
    { version: 2, path: "/m/a" },
    { version: 2, path: "/m" },
  ]);
  expect(groupDirectories("4:cpu,cpuacct:/../x\n3:pids:/y\n", "cpu", "/m").map(({ path }) => path)).toEqual([
    "/m/cpu/x",
    "/m/cpu",
  ]);
  expect(counterOf("oom 1\noom_kill 3\n", "oom_kill")).toBe(3);
});

test("a program's head says what it is made for", () => {
  const elf = Buffer.alloc(64);
  elf.writeUInt32BE(0x7f454c46, 0);
  elf[5] = 1;
  elf.writeUInt16LE(183, 18);
  expect(parseProgramHead(elf)).toEqual({ kind: "elf", machine: "arm64" });
  expect(parseProgramHead(Buffer.from("#! /bin/sh\n"))).toEqual({ kind: "script", interpreter: "/bin/sh" });
  expect(parseProgramHead(Buffer.from(""))).toEqual({ kind: "unknown" });
  expect([ownMachine("x64"), ownMachine("arm64")]).toEqual(["x86-64", "arm64"]);
});

test("Envoy's version is read as released and as built by Istio", () => {
  expect(parseVersion("\n/usr/bin/envoy  version: d9c1d3e/1.40.0/Clean/RELEASE/BoringSSL\n")).toBe("1.40.0");
  expect(parseVersion("envoy  version: d9c1d3e/1.38.1-dev/Clean/RELEASE/BoringSSL")).toBe("1.38.1-dev");
  expect(parseVersion("nginx version: nginx/1.25.1")).toBeUndefined();
});

test("a rejection for want of an extension names it", () => {
  expect(
    missingExtension("Didn't find a registered implementation for 'istio.stats' with type URL: 'stats.PluginConfig'"),
  ).toBe("istio.stats, type stats.PluginConfig");
  expect(missingExtension("cannot bind '0.0.0.0:80': Permission denied")).toBeUndefined();
});

test("the pod's variables name the application's ports, whatever else is in them", () => {
  const env = {
    ISTIO_META_POD_PORTS: '[\n{"containerPort":8080,"protocol":"TCP"}\n,{"containerPort":8080}, 1]',
    ISTIO_KUBE_APP_PROBERS:
      '{"/app-health/web/livez":{"httpGet":{"port":15021}},"x":{"grpc":{"port":9090}},"y":{"httpGet":{"port":"http"}}}',
  };
  expect(applicationPorts(env)).toEqual([
    { port: 8080, source: "ISTIO_META_POD_PORTS" },
    { port: 15_021, source: "ISTIO_KUBE_APP_PROBERS" },
    { port: 9090, source: "ISTIO_KUBE_APP_PROBERS" },
  ]);
  expect(applicationPorts({ ISTIO_META_POD_PORTS: "[", ISTIO_KUBE_APP_PROBERS: "[]" })).toEqual([]);
});

test("the sockets that listen at a path are read, without connections and abstract ones", () => {
  const table = [
    "Num       RefCount Protocol Flags    Type St Inode Path",
    "0000: 00000002 00000000 00010000 0001 01   111 ./var/run/socket",
    "0000: 00000002 00000000 00010000 0001 01 222 /a pod/socket",
    "0000: 00000003 00000000 00000000 0001 03 333 /pod/var/run/socket",
    "0000: 00000002 00000000 00010000 0001 01 444 @/pod/var/run/socket",
    "0000: 00000002 00000000 00010000 0001 01 555",
  ].join("\n");
  expect(parseListeningPaths(table)).toEqual([
    { inode: "111", path: "./var/run/socket" },
    { inode: "222", path: "/a pod/socket" },
  ]);
});
