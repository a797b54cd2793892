// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import type { DevReport } from "../../src/dev/report.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { envoyBinary } from "../support/envoy-binary.ts";
import { eventually } from "../support/eventually.ts";
import { type RunningProgram, startProgram } from "../support/program.ts";
import { projectRoot, runProgram } from "../support/run-program.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const mayMakeNetworks = process.getuid?.() === 0 && spawnSync("unshare", ["-n", "-m", "true"]).status === 0;
const webIdentity = "spiffe://cluster.local/ns/demo/sa/web";

/** The network namespaces of this machine's processes. */
function networkNamespaces(): ReadonlySet<string> {
  const links = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`);
      } catch {
        return "";
      }
    });
  return new Set(links.filter((link) => link !== ""));
}

function networkOf(pid: string): string {
  return readlinkSync(`/proc/${pid}/ns/net`);
}

/** Addresses and routes of this machine's own network. */
function machineNetwork(): string {
  const show = (args: readonly string[]): string => spawnSync("ip", args, { encoding: "utf8" }).stdout;
  return [["address"], ["route"]].map(show).join("");
}

/** Runs the command that is shown to the user, with another end. */
async function runShown(program: RunningProgram): Promise<(end: string) => ReturnType<typeof runProgram>> {
  const enter = await eventually(
    () => {
      const shown = /^ {2}(nsenter .*) curl http:\/\/api\/ /m.exec(program.output().stdout)?.[1];
      if (shown === undefined) throw new Error(`no hint:\n${program.output().stdout}${program.output().stderr}`);
      return shown;
    },
    { withinMs: 60_000, everyMs: 50 },
  );
  return (end) => runProgram("sh", ["-c", `exec ${enter} ${end}`]);
}

describe.runIf(mayMakeNetworks)("attache dev --capture", () => {
  afterEach(() => {
    expect(machineNetwork()).not.toMatch(/10\.77\.0\.|10\.96\.0\.10/);
  });

  test("proves that a program reaches api by its name through both Envoys, and leaves nothing", async () => {
    await using program = startProgram(["dev", "--once", "--json", "--capture"]);
    const { code, stdout, stderr } = await program.exited;
    expect(code, stderr).toBe(0);
    const { proof, failures } = JSON.parse(stdout) as DevReport;
    expect(failures).toEqual([]);
    expect(proof).toMatchObject({
      mtlsStatus: 200,
      peerSeenByApi: webIdentity,
      plainTextRefused: true,
      rotation: { failed: 0 },
      capture: { connectedTo: "10.96.0.10:80", status: 200, peerSeenByApi: webIdentity },
    });
    expect(stderr).toContain("connected to 10.96.0.10:80");
    expect((await readdir(tmpdir())).filter((name) => name.startsWith("attache-dev-"))).toEqual([]);
  });

  test("programs of web's namespace are captured, those of the proxy's group are not; SIGKILL leaves nothing", async () => {
    await using folder = await temporaryDirectory();
    await using program = startProgram(["dev", "--capture", "--keep", folder.path]);
    const run = await runShown(program);

    const { code, stdout, stderr } = await run("curl -sS --max-time 5 http://api/by-hand");
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      app: "api",
      path: "/by-hand",
      forwardedClientCert: expect.stringContaining(`URI=${webIdentity}`) as string,
    });
    const past = await run("setpriv --regid=1337 --clear-groups curl -sS --max-time 1 http://api/");
    expect(past.code, "the service's address is nobody's").not.toBe(0);

    const web = /--target (\d+)/.exec(program.output().stdout)?.[1] ?? "";
    const namespace = networkOf(web);
    expect(machineNetwork()).not.toMatch(/10\.77\.0\./);
    expect(namespace).not.toBe(networkOf("self"));
    expect(networkNamespaces()).toContain(namespace);
    program.kill("SIGKILL");
    await program.exited;
    await eventually(
      () => {
        expect(networkNamespaces()).not.toContain(namespace);
      },
      { withinMs: 15_000, everyMs: 50 },
    );
  });

  test("observers reach Envoy on loopback of this machine, only web has a name for api, and Ctrl-C ends everything", async () => {
    await using program = startProgram(["dev", "--capture", "--files"]);
    const run = await runShown(program);
    const admin = /curl http:\/\/127\.0\.0\.1:(\d+)\/certs/.exec(program.output().stdout)?.[1] ?? "";
    const certs = await fetch(`http://127.0.0.1:${admin}/certs`, { headers: { connection: "close" } });
    expect(await certs.text()).toContain(webIdentity);
    expect((await run("cat /etc/hosts")).stdout).toBe(
      `${readFileSync("/etc/hosts", "utf8").trimEnd()}\n10.96.0.10 api\n`,
    );
    const namespace = networkOf(/--target (\d+)/.exec(program.output().stdout)?.[1] ?? "");
    program.kill("SIGINT");
    expect((await program.exited).code).toBe(0);
    expect(networkNamespaces()).not.toContain(namespace);
  });

  test.each([100, 400, 800])("Ctrl-C after %i ms of the start leaves nothing", async (afterMs) => {
    await using folder = await temporaryDirectory();
    // a process group of its own, as in a terminal: the signal reaches every process in it
    const child = spawn(join(projectRoot, "bin/attache"), ["dev", "--capture", "--keep", folder.path], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
      env: { ...process.env, ENVOY_PATH: envoyBinary() },
    });
    const stderr = text(child.stderr);
    const ended = once(child, "close");
    await systemClock.delay(afterMs, AbortSignal.timeout(10_000));
    process.kill(-(child.pid ?? 0), "SIGINT");
    const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
    // the signal itself ends a process that does not listen for it yet
    expect(signal === "SIGINT" || code === 0, await stderr).toBe(true);
    expect(await stderr).toBe("");
  });

  test("root of a user namespace may do the same", async () => {
    const script = 'read -r _ && exec "$@"';
    const command = [join(projectRoot, "bin/attache"), "dev", "--once", "--json", "--capture"];
    const child = spawn("unshare", ["--user", "sh", "-c", script, "sh", ...command], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ENVOY_PATH: envoyBinary() },
    });
    const ended = Promise.all([text(child.stdout), text(child.stderr)]);
    const own = readlinkSync("/proc/self/ns/user");
    const of = `/proc/${String(child.pid)}`;
    await eventually(
      () => {
        expect(readlinkSync(`${of}/ns/user`)).not.toBe(own);
      },
      { withinMs: 5_000 },
    );
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`${of}/${map}`, "0 0 65536\n");
    child.stdin.end("go\n");
    const [stdout, stderr] = await ended;
    expect(stdout, stderr).not.toBe("");
    const { proof, failures } = JSON.parse(stdout) as DevReport;
    expect(failures).toEqual([]);
    expect(proof.capture).toEqual({ connectedTo: "10.96.0.10:80", status: 200, peerSeenByApi: webIdentity });
  });

  test("a process of the network that dies stops the mesh with 69", async () => {
    await using program = startProgram(["dev", "--capture"]);
    await runShown(program);
    process.kill(Number(/--target (\d+)/.exec(program.output().stdout)?.[1]), "SIGKILL");
    const { code, stderr } = await program.exited;
    expect(stderr).toBe(
      "Error: capture the traffic of the workloads: a process in a network namespace has ended unexpectedly; start the mesh again\n",
    );
    expect(code).toBe(69);
  });

  test("a user who may not create namespaces is told what to do", async () => {
    const launcher = join(projectRoot, "bin/attache");
    const start = [launcher, "dev", "--once", "--capture"];
    const said = (what: string): RegExp =>
      new RegExp(
        `^Error: capture the traffic of the workloads: this user cannot create network namespaces; ${what}.*: unshare: .*\n$`,
      );
    // a user namespace without ids: this user is nobody in it
    const nobody = await runProgram("unshare", ["--user", ...start]);
    expect([nobody.code, nobody.stdout]).toEqual([69, ""]);
    expect(nobody.stderr).toMatch(said("run it as root, or as a user who may create user namespaces"));
    const bounded = await runProgram("setpriv", ["--bounding-set=-sys_admin", ...start]);
    expect([bounded.code, bounded.stdout]).toEqual([69, ""]);
    expect(bounded.stderr).toMatch(said("in a container it needs CAP_SYS_ADMIN and CAP_NET_ADMIN"));
  });
});
