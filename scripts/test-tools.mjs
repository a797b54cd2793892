// SPDX-License-Identifier: Apache-2.0
// Programs of others that tests use as judges: a browser, Prometheus' checker, OpenSSL, an OpenMetrics parser, and those
// that give rules to the kernel.
// What cannot be installed here is said; the tests that need it fail then, and say so too.
import { spawn } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** @type {Readonly<Record<string, string>>} program -> the Debian package that has it */
const programs = {
  chromium: "chromium",
  promtool: "prometheus",
  openssl: "openssl",
  iptables: "iptables",
  nft: "nftables",
  ip: "iproute2",
};
/** Where programs of the administrator are, also if the path of this user does not say so. */
const systemDirectories = ["/usr/sbin", "/sbin"];

const parserVersion = "0.26.0";
const parser = `prometheus-client==${parserVersion}`;
const parserSha256 = "fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6";

/**
 * @param {string} root the work tree; Python packages go to .cache/python
 * @returns {Promise<void>}
 */
export async function provideTestTools(root) {
  await provideParser(join(root, ".cache", "python"));
  const missing = [];
  for (const [program, name] of Object.entries(programs)) if (!(await isOnPath(program))) missing.push(name);
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || !(await isOnPath("apt-get"))) {
    say(`not installed, and this user cannot install them: ${missing.join(", ")}`);
    return;
  }
  say(`installing ${missing.join(", ")}`);
  const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  // with one source that does not answer the lists of the others, or those of before, may still do
  if (!(await run("apt-get", [...quiet, "update"], env))) say("the lists of packages may be old");
  const done = await run("apt-get", [...quiet, "install", "-y", "--no-install-recommends", ...missing], env);
  if (!done) say(`could not be installed: ${missing.join(", ")}`);
}

/** @param {string} directory */
async function provideParser(directory) {
  if (existsSync(join(directory, `prometheus_client-${parserVersion}.dist-info`))) return;
  const work = `${directory}.${String(process.pid)}.tmp`;
  say(`installing ${parser} for Python`);
  await mkdir(work, { recursive: true });
  await writeFile(join(work, "requirements.txt"), `${parser} --hash=sha256:${parserSha256}\n`);
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", work];
  const manner = ["--no-input", "--disable-pip-version-check", "--root-user-action=ignore", "--timeout", "10"];
  const done = await run("python3", [...pip, ...manner, "-r", join(work, "requirements.txt")], process.env);
  if (done) {
    await rm(directory, { recursive: true, force: true });
    await rename(work, directory);
  } else say(`could not be installed: ${parser}`);
  await rm(work, { recursive: true, force: true });
}

/** @param {string} program */
async function isOnPath(program) {
  for (const directory of [...(process.env["PATH"] ?? "").split(delimiter), ...systemDirectories]) {
    const found = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {Readonly<Record<string, string | undefined>>} env
 * @returns {Promise<boolean>} whether it succeeded; what it prints goes to stderr
 */
function run(program, args, env) {
  return new Promise((answer) => {
    const child = spawn(program, args, { stdio: ["ignore", 2, 2], env: { ...env } });
    child.once("error", () => {
      answer(false);
    });
    child.once("exit", (code) => {
      answer(code === 0);
    });
  });
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`test tools: ${line}\n`);
}
