// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { chmod, cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeMemoryGroup } from "../../support/control-group.ts";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { engineEnv, launcherFlags } from "../../support/agent-engine.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

interface Started {
  readonly node: string;
  readonly flags: readonly string[];
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What version 1 shows without a limit, with pages of 4 KiB. */
const noLimit = "9223372036854771712";

/** The launcher runs the first line of a bundle. */
const report = `const { execPath, execArgv, argv, env } = process; process.stdout.write(JSON.stringify({
  node: execPath, flags: execArgv.slice(0, execArgv.indexOf("--eval")), args: argv.slice(2), env }));
`.replace("\n", "");

/** An installation whose bundle tells how it was started. */
async function install(root: string): Promise<string> {
  await mkdir(join(root, "app", "dist"), { recursive: true });
  await cp(join(projectRoot, "bin"), join(root, "app", "bin"), { recursive: true });
  await writeFile(join(root, "app", "dist", "attache.cjs"), report);
  await symlink(join(projectRoot, "node_modules"), join(root, "app", "node_modules"));
  return join(root, "app", "bin", "attache");
}

async function start(launcher: string, args: readonly string[], env = {}): Promise<Started> {
  const { stdout, stderr, code } = await runProgram(launcher, args, { env });
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  return JSON.parse(stdout) as Started;
}

test("the pinned Node runs the bundle with the words as they were given", async () => {
  await using root = await temporaryDirectory();
  const started = await start(await install(root.path), ["version", "a b", "*", ""]);
  expect(started.node).toMatch(/node_modules\/node-linux-\w+\/bin\/node$/);
  expect(started.args).toEqual(["version", "a b", "*", ""]);
  expect(started.flags.join(" ")).not.toContain("--max-");
  expect(started.env["ATTACHE_LAUNCHER_ENV"]).toBeUndefined();
});

test("only the agent is kept small, and learns what was set for it", async () => {
  await using root = await temporaryDirectory();
  const launcher = await install(root.path);
  const started = await start(launcher, ["proxy", "sidecar"]);
  expect(started.flags).toEqual(expect.arrayContaining([...launcherFlags]));
  expect(started.env).toMatchObject(engineEnv);
  const names = started.env["ATTACHE_LAUNCHER_ENV"]?.split(" ") ?? [];
  expect(names).toContain("UV_THREADPOOL_SIZE");
  for (const name of names) expect(started.env[name], name).not.toBe("");
});

test("what the user has set stays as it is", async () => {
  await using root = await temporaryDirectory();
  const env = { UV_THREADPOOL_SIZE: "7", NODE_OPTIONS: "--max-old-space-size=100" };
  const started = await start(await install(root.path), ["proxy"], env);
  expect(started.env["UV_THREADPOOL_SIZE"]).toBe("7");
  expect(started.env["ATTACHE_LAUNCHER_ENV"]).not.toContain("UV_THREADPOOL_SIZE");
  expect(started.flags.join(" ")).not.toContain("max-old-space-size");
});

test.each([{ NODE_OPTIONS: "--use-system-ca" }, { NODE_OPTIONS: "--use_bundled_ca" }, { NODE_USE_SYSTEM_CA: "1" }])(
  "the roots that the user has chosen for Node stay: %j",
  async (env) => {
    await using root = await temporaryDirectory();
    const started = await start(await install(root.path), ["proxy"], env);
    expect(started.flags).not.toContain("--use-openssl-ca");
  },
);

/** Runs the rest of its words where the control groups are those of a directory. */
const inGroups = 'mount --bind "$0/mount" /sys/fs/cgroup && mount --bind "$0/groups" /proc/$$/cgroup && exec "$@"';
const canMount = spawnSync("unshare", ["-m", "true"]).status === 0;

/** @param files below the mount of the control groups @returns the heap's limit in MB as the agent gets it */
async function heapLimit(groups: string, files: Readonly<Record<string, string>>): Promise<number> {
  await using root = await temporaryDirectory();
  const launcher = await install(root.path);
  await mkdir(join(root.path, "mount"));
  await writeFile(join(root.path, "groups"), groups);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root.path, "mount", path, ".."), { recursive: true });
    await writeFile(join(root.path, "mount", path), `${text}\n`);
  }
  const { flags } = await start("unshare", ["-m", "sh", "-c", inGroups, root.path, launcher, "proxy"]);
  const limits = flags.filter((flag) => flag.startsWith("--max-old-space-size="));
  expect(limits).toHaveLength(1);
  return Number(limits[0]?.split("=")[1]);
}

const [mib32, mib64, mib96, mib128] = ["33554432", "67108864", "100663296", "134217728"];

test.runIf(canMount).each([
  ["a container's own group", "0::/\n", { "memory.max": mib64 }, 24],
  ["a group around it", "0::/pod/app\n", { "pod/app/memory.max": "max", "pod/memory.max": mib96 }, 36],
  ["the smallest group", "0::/pod/app\n", { "pod/app/memory.max": mib128, "pod/memory.max": mib64 }, 24],
  ["a group that is named as on the machine", "0::/machine/pod\n", { "memory.max": mib64 }, 24],
  ["version 1", "7:cpu:/\n5:cpu,memory:/pod/app\n", { "memory/pod/memory.limit_in_bytes": mib64 }, 24],
  ["version 1 beside an empty version 2", "0::/\n4:memory:/\n", { "memory/memory.limit_in_bytes": mib96 }, 36],
  ["a small container, at least", "0::/\n", { "memory.max": mib32 }, 16],
  ["a large container, at most", "0::/\n", { "memory.max": "1073741824" }, 48],
  ["no limit", "0::/pod\n1:memory:/\n", { "memory.max": "max", "memory/memory.limit_in_bytes": noLimit }, 48],
  ["no limit that is a number", "0::/\n", { "memory.max": "" }, 48],
  ["no control groups", "", {}, 48],
] as const)("the heap's limit follows the memory limit: %s", async (_what, groups, files, limitMb) => {
  expect(await heapLimit(groups, files)).toBe(limitMb);
});

test("the memory limit of this machine's own control groups is read", async ({ skip }) => {
  using group = makeMemoryGroup(64 * 2 ** 20) ?? skip("this user may not limit memory");
  await using root = await temporaryDirectory();
  const [program, ...words] = [...group.launcher, await install(root.path), "proxy"];
  expect((await start(program, words)).flags).toContain("--max-old-space-size=24");
});

test("variables that a shell would not hand on are told to the agent", async () => {
  await using root = await temporaryDirectory();
  const launcher = await install(root.path);
  const env = { "XDS_HEADER_x-a": "1=2", "a.b": "two\nlines", "1st": "é" };
  const lost = (await start(launcher, ["proxy"], env)).env["ATTACHE_LAUNCHER_LOST"] ?? "";
  const entries = Buffer.from(lost, "base64").toString().split("\0").filter(Boolean);
  expect(entries.sort()).toEqual(["1st=é", "XDS_HEADER_x-a=1=2", "a.b=two\nlines"]);
  expect((await start(launcher, ["proxy"])).env).not.toHaveProperty("ATTACHE_LAUNCHER_LOST");
});

test("links lead to the program, which learns the name it was called by", async () => {
  await using root = await temporaryDirectory();
  const launcher = await install(root.path);
  await symlink("app/bin/attache", join(root.path, "relative"));
  await symlink(join(root.path, "relative"), join(root.path, "pilot-agent"));
  expect((await start(launcher, [])).env["ATTACHE_PROGRAM_NAME"]).toBeUndefined();
  expect((await start(join(root.path, "pilot-agent"), [])).env["ATTACHE_PROGRAM_NAME"]).toBe("pilot-agent");
});

test("a Node that is new enough serves where none is pinned; an old one or none is named in one line", async () => {
  await using root = await temporaryDirectory();
  const launcher = await install(root.path);
  await mkdir(join(root.path, "system"));
  const system = join(root.path, "system", "node");
  const setVersion = async (version: string): Promise<void> => {
    await writeFile(system, `#!/bin/sh\n[ "$1" = --version ] && echo ${version} || echo "system \${0##*/}"\n`);
    await chmod(system, 0o755);
  };
  const bare = join(root.path, "bare");
  await mkdir(bare);
  for (const part of ["bin", "dist"]) await cp(join(root.path, "app", part), join(bare, part), { recursive: true });
  const env = { PATH: join(root.path, "system") };
  await setVersion("v24.1.0");
  expect((await runProgram(join(bare, "bin", "attache"), ["version"], { env })).stdout).toBe("system node\n");
  await setVersion("v20.11.1");
  expect(await runProgram(join(bare, "bin", "attache"), ["version"], { env })).toMatchObject({
    code: 69,
    stderr: "attache: requires Node.js 24 or later, found v20.11.1; install it, or run: npm ci\n",
  });
  expect(await runProgram(join(bare, "bin", "attache"), ["version"], { env: { PATH: bare } })).toMatchObject({
    code: 69,
    stderr: "attache: requires Node.js 24 or later, found none; install it, or run: npm ci\n",
  });
  expect(launcher).toContain("attache");
});

test("a missing bundle is named, with the command that makes it", async () => {
  await using root = await temporaryDirectory();
  await cp(join(projectRoot, "bin"), join(root.path, "bin"), { recursive: true });
  const { code, stderr } = await runProgram(join(root.path, "bin", "attache"), ["version"]);
  expect(code).toBe(69);
  expect(stderr).toMatch(/^attache: \S+dist\/attache\.cjs is missing; run: npm run build\n$/);
});
