// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../../../config/index.ts";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { readTextFile } from "../../../lib/fs/bounded-read.ts";
import { isExpired, nameOf, parseCertificates, validityOf, validityText } from "../certificates.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { networkOf } from "../network/network.ts";
import type { Peer } from "../network/peers.ts";

const name = "roots";
const soonMs = 7 * 86_400_000;
const mostShown = 3;

/** The files with the roots by which CA and control plane are verified. */
export const rootsCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const uses = rootFiles(context);
    if (uses.length === 0) return [ok(name, "the system's roots are used, or no server is verified")];
    return (await Promise.all(uses.map((use) => checkFile(use, context)))).flat();
  },
};

interface RootFileUse {
  readonly path: string;
  readonly setting: string;
}

/** Each file once. */
function rootFiles(context: DoctorContext): readonly RootFileUse[] {
  const { cas, controlPlanes } = networkOf(context);
  const peers = [...cas.map(({ peer }) => peer), ...controlPlanes];
  const uses = [...peers.flatMap(useOf), ...xdsUse(context.config), ...signerUse(context.config)];
  return [...new Map(uses.toReversed().map((use) => [use.path, use])).values()].toReversed();
}

function useOf({ tls, settings }: Peer): readonly RootFileUse[] {
  return tls?.roots.kind === "file" ? [{ path: tls.roots.path, setting: settings.roots }] : [];
}

/** Also by way of an HTTP proxy. */
function xdsUse({ xds }: AgentConfig): readonly RootFileUse[] {
  const security = xds.kind === "ads" ? xds.proxy.upstream.security : undefined;
  return security?.kind === "tls" && security.roots.kind === "file"
    ? [{ path: security.roots.path, setting: "XDS_ROOT_CA" }]
    : [];
}

/** Kubernetes' API does not return the roots of a signer. */
function signerUse({ identity, ca }: AgentConfig): readonly RootFileUse[] {
  const members = identity.kind !== "ca" ? [] : ca.kind === "failover" ? ca.sources : [ca];
  return members.flatMap((member) =>
    member.kind === "kubernetes-csr" && member.rootsPath !== ""
      ? [{ path: member.rootsPath, setting: "ATTACHE_KUBERNETES_ROOTS" }]
      : [],
  );
}

async function checkFile({ path, setting }: RootFileUse, context: DoctorContext): Promise<readonly Finding[]> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if (isReported(path, context)) return [];
    const why = systemCode(error) === "ENOENT" ? "does not exist" : `cannot be read: ${describeError(error)}`;
    const cure = `Mount the root certificates there, readable for the agent's user, or name another file in ${setting}.`;
    return [fail(name, `the file of roots ${path} ${why}`, cure)];
  }
  return judge(text, { path, setting }, context.clock.now());
}

/** A missing file is a problem of the configuration. Its messages leave `./` out. */
function isReported(path: string, { problems }: DoctorContext): boolean {
  return problems.some(({ message }) => message.includes(path.replace(/^\.\//, "")));
}

function judge(text: string, { path, setting }: RootFileUse, nowMs: number): readonly Finding[] {
  const { certificates, problem } = parseCertificates(text);
  if (certificates.length === 0) {
    const cure = `Put the root certificates there as PEM, or name another file in ${setting}.`;
    return [fail(name, `the file of roots ${path} has no certificate: ${problem ?? "there is no PEM block"}`, cure)];
  }
  const expired = certificates.filter((one) => isExpired(one, nowMs));
  const texts = certificates.map((one) => `${nameOf(one)} (${validityText(one, nowMs)})`);
  const held = `${texts.slice(0, mostShown).join(", ")}${texts.length > mostShown ? ` and ${String(texts.length - mostShown)} more` : ""}`;
  if (expired.length === certificates.length) {
    return [fail(name, `no root in ${path} is valid: ${held}`, "Replace it by the present root of the mesh.")];
  }
  if (problem !== undefined) {
    return [warn(name, `${path} is read up to its first fault: ${problem}; it has ${held}`, "Correct the file.")];
  }
  if (expired.length > 0) {
    return [warn(name, `a root in ${path} has expired: ${held}`, "Remove the expired root.")];
  }
  const lastMs = Math.max(...certificates.map((one) => validityOf(one)[1]));
  if (lastMs - nowMs < soonMs) {
    return [warn(name, `the roots in ${path} expire soon: ${held}`, "Distribute the next root of the mesh.")];
  }
  return [ok(name, `${path} has ${held}`)];
}
