// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:fs";
import { lstat, mkdtemp, open, readdir, readlink, rename, rm, stat, symlink, unlink } from "node:fs/promises";
import { join } from "node:path";
import { SerialQueue } from "../lib/async/serial-queue.ts";
import { runTasks } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { Secret } from "../model/secret.ts";
import type { HeldIdentities } from "./held-identities.ts";
import type { CertDeps, CertOutputConfig } from "./types.ts";

/** For readers that have the group of the directory, and for readers of any user. */
const groupKeyMode = 0o640;
const openKeyMode = 0o644;
const openKeyWarning =
  "the key in OUTPUT_CERTS is readable for every user that sees the directory, since its volume has no group; " +
  "set fsGroup in the pod's securityContext, or ATTACHE_OUTPUT_CERTS_KEY_MODE";
/** File names that readers expect. Source: `OUTPUT_CERTS` as observed with Istio 1.31 */
const names = { key: "key.pem", chain: "cert-chain.pem", roots: "root-cert.pem" };
/** The link through which all files are reached; replacing it replaces them together. */
const current = "..data";
const versionPrefix = "..version-";
/** New files in a directory with this bit get its group. Source: Linux, inode(7) */
const setGroupBit = 0o2000;
/** The delay before a failed write is repeated. */
const retryDelayMs = 30_000;

/**
 * Writes key, chain and roots into a directory whenever one of them changes, until the signal aborts. A reader sees all
 * of one version or all of the next: the files are links into a versioned directory that is replaced in one step.
 */
export async function writeOutput(
  config: CertOutputConfig,
  held: HeldIdentities,
  { clock, log }: CertDeps,
  stop: AbortSignal,
): Promise<void> {
  using outage = new OutageLog(log, clock, { recovered: "certificate files are written again" });
  let isBehind = false;
  let isOpenReported = false;
  const write = async (): Promise<void> => {
    const certificate = held.default.current;
    const roots = held.ROOTCA.current;
    if (certificate === undefined || roots === undefined) return;
    isBehind = true;
    try {
      const keyMode = await writeVersion(config, contentOf(certificate, roots));
      isBehind = false;
      outage.works({ directory: config.directory });
      log.debug("certificate files written", { directory: config.directory });
      if (config.keyMode === "for-readers" && keyMode === openKeyMode && !isOpenReported) {
        isOpenReported = true;
        log.warn(openKeyWarning, { directory: config.directory });
      }
    } catch (error) {
      const fields = { directory: config.directory, error: describeError(error) };
      outage.failed({ level: "error", message: "cannot write certificate files; retrying", fields });
    }
  };
  const writes = new SerialQueue();
  const follow = async (name: "default" | "ROOTCA", signal: AbortSignal): Promise<void> => {
    for await (const _ of held[name].watch(signal)) {
      await writes.run(write);
    }
  };
  const retry = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      await clock.delay(retryDelayMs, signal);
      if (isBehind) await writes.run(write);
    }
  };
  await runTasks(stop, [(signal) => follow("default", signal), (signal) => follow("ROOTCA", signal), retry]);
}

interface OutputContent {
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

function contentOf(certificate: Secret, roots: Secret): OutputContent {
  if (certificate.kind !== "certificate" || roots.kind !== "trust-bundle")
    throw new Error("secrets of the wrong kinds");
  return { key: certificate.keyPem, chain: certificate.chainPem, roots: roots.rootsPem };
}

/** @returns the mode of the key */
async function writeVersion(config: CertOutputConfig, content: OutputContent): Promise<number> {
  const { directory, certificateMode } = config;
  makeDirectorySync(directory, 0o755);
  const version = await mkdtemp(join(directory, versionPrefix));
  let keyMode: number;
  try {
    const groupBit = await shareGroup(directory, version);
    await setMode(version, 0o755 | groupBit);
    keyMode = config.keyMode === "for-readers" ? (groupBit === 0 ? openKeyMode : groupKeyMode) : config.keyMode;
    await writeWithMode(join(version, names.key), content.key, keyMode);
    await writeWithMode(join(version, names.chain), content.chain, certificateMode);
    await writeWithMode(join(version, names.roots), content.roots, certificateMode);
    await swapLink(directory, current, version.slice(directory.length).replace(/^\/+/, ""));
  } catch (error) {
    await rm(version, { recursive: true, force: true });
    throw error;
  }
  for (const name of Object.values(names)) await ensureLink(directory, name);
  await removeOldVersions(directory);
  return keyMode;
}

/**
 * Whether new files in the version get the group of the directory, which its readers have: the kubelet gives a volume
 * of a pod with `fsGroup` that group and the bit, and each container the group.
 * @returns the bit for the version's mode, or 0
 */
async function shareGroup(directory: string, version: string): Promise<number> {
  const [parent, own] = await Promise.all([stat(directory), stat(version)]);
  return (parent.mode & setGroupBit) !== 0 && own.gid === parent.gid ? setGroupBit : 0;
}

/** The mode is set on the open file, which is new: whoever may write to the directory cannot put another in its place. */
async function writeWithMode(path: string, text: string, mode: number): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(text);
  await file.chmod(mode);
}

async function setMode(directory: string, mode: number): Promise<void> {
  await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  await handle.chmod(mode);
}

/** Links the file into the current version; a plain file of an earlier setup is replaced. */
async function ensureLink(directory: string, name: string): Promise<void> {
  const target = `${current}/${name}`;
  const found = await readlink(join(directory, name)).catch(() => undefined);
  if (found !== target) await swapLink(directory, name, target);
}

async function swapLink(directory: string, name: string, target: string): Promise<void> {
  const draft = join(directory, `..draft-${name}`);
  await unlink(draft).catch(() => undefined);
  await symlink(target, draft);
  await rename(draft, join(directory, name));
}

async function removeOldVersions(directory: string): Promise<void> {
  const kept = await readlink(join(directory, current));
  for (const name of await readdir(directory)) {
    if (!name.startsWith(versionPrefix) || name === kept) continue;
    if ((await lstat(join(directory, name))).isDirectory()) await rm(join(directory, name), { recursive: true });
  }
}
