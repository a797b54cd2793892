// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { systemCode } from "../../../lib/errors.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { ownMachine } from "../machine/elf.ts";
import { type BinaryVersion, findMissingTexts, readProgramHead, readVersion } from "../machine/envoy-binary.ts";
import { judgeVersion, supportedVersions } from "../machine/supported-version.ts";
import { agentPath, type Machine, machineOf } from "../machine/machine.ts";

/** Envoy's binary: whether it is there, runs on this machine, and has what the control plane sends. */
export const envoyCheck: Check = {
  name: "envoy",
  needsEnvironment: true,
  async run(context) {
    const { disableEnvoy, envoy } = context.config;
    if (disableEnvoy) return [ok("envoy", "not used (DISABLE_ENVOY)")];
    const machine = await machineOf(context);
    const path = agentPath(machine, envoy.binaryPath);
    const problem = (await fileProblem(path)) ?? (await machineProblem(path));
    if (problem !== undefined) return [problem];
    const [versions, extensions] = await Promise.all([
      versionFindings(path, machine, context),
      extensionFindings(path, context),
    ]);
    return [...versions, ...extensions];
  },
};

const setPath = `set its path: PROXY_CONFIG='{"binaryPath":"/path/of/envoy"}'`;

async function fileProblem(path: string): Promise<Finding | undefined> {
  const check = "envoy.binary";
  const found = await stat(path).catch(systemCode);
  if (found === "ENOENT" || found === "ENOTDIR")
    return fail(check, `there is no Envoy at ${path}`, `Install Envoy there, or ${setPath}.`);
  if (typeof found !== "object")
    return fail(
      check,
      `${path} cannot be reached (${found ?? "unknown"})`,
      "Make the directories above it accessible: chmod a+x.",
    );
  if (!found.isFile()) return fail(check, `${path} is not a file`, `Name Envoy's binary itself: ${setPath}.`);
  const problem = await access(path, constants.X_OK).then(() => undefined, systemCode);
  if (problem === undefined) return undefined;
  const fact = `${path} is not executable for uid ${String(process.geteuid?.())}`;
  return fail(check, fact, `Make it executable (chmod a+rx ${path}); its volume must not be mounted noexec.`);
}

async function machineProblem(path: string): Promise<Finding | undefined> {
  const head = await readProgramHead(path);
  const check = "envoy.binary";
  if (head?.kind === "unknown")
    return fail(
      check,
      `${path} is not a program: it has no ELF header`,
      "Install Envoy again: the file is damaged, or another one.",
    );
  if (head?.kind !== "elf" || head.machine === ownMachine()) return undefined;
  const fact = `${path} is built for ${head.machine}, and this machine is ${ownMachine()}`;
  return fail(check, fact, `Install Envoy for ${ownMachine()}, or use an image for this architecture.`);
}

/** The Envoy that runs says its version itself, without the memory of another one. */
async function versionFindings(path: string, { envoys }: Machine, context: DoctorContext): Promise<readonly Finding[]> {
  return envoys.length > 0 ? [] : [await versionFinding(path, context)];
}

async function versionFinding(path: string, { clock, signal }: DoctorContext): Promise<Finding> {
  const check = "envoy.version";
  const read: BinaryVersion = await readVersion(path, clock, signal);
  if (read.kind === "failed") {
    return fail(
      check,
      `${path} --version: ${read.problem}`,
      `Run it by hand: ${path} --version; install Envoy again if it fails.`,
    );
  }
  if (read.kind === "unparsable") {
    const fact = `${path} does not say its version as Envoy does: ${read.output}`;
    return warn(check, fact, `Use an Envoy whose --version has a version (${supportedVersions}).`);
  }
  return judgeVersion(read.version);
}

/** Filters of Istio's build of Envoy. Source: Istio, proxy/source/extensions; texts as in the binary of istio/proxyv2 */
const istioExtensions = ["istio.stats", "istio.metadata_exchange", "istio.alpn"];

/** Istio's control plane is known by its name. What Envoy rejects already is a finding of `envoy-admin`. */
async function extensionFindings(
  path: string,
  { config: { xds }, agent, signal }: DoctorContext,
): Promise<readonly Finding[]> {
  const isIstio = xds.kind === "ads" && xds.proxy.upstream.addresses.some(({ host }) => /^istiod(\.|-|$)/.test(host));
  if (!isIstio) return [];
  const missing = await findMissingTexts(path, istioExtensions, signal);
  if (missing === undefined) return [];
  const check = "envoy.extensions";
  if (missing.length === 0) return [ok(check, `${istioExtensions.join(", ")} are in the binary`)];
  const fact = `${path} lacks ${missing.join(", ")}, which istiod may send`;
  // what Envoy lacks of that, it rejects
  if (agent?.ready === true) return [ok(check, `${fact}, and does not`)];
  return [
    warn(
      check,
      fact,
      "Use Istio's Envoy (of the image istio/proxyv2), or turn off telemetry and ALPN filters in istiod.",
    ),
  ];
}
