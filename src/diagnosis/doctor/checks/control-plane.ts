// SPDX-License-Identifier: Apache-2.0
import { readdir } from "node:fs/promises";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { type Network, networkOf } from "../network/network.ts";
import { peerKey } from "../network/peers.ts";
import type { Reach } from "../network/reach.ts";
import { peerStateOf } from "../running-agent.ts";
import { blocked, failed, findingOf, passed, type Step } from "../network/step.ts";

const name = "control-plane";

/** The way to each address of the control plane, up to whether it accepts this workload. No proxy is registered. */
export const controlPlaneCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const { xds } = context.config;
    if (xds.kind === "files") {
      const isReported = context.problems.some(({ source }) => source === "ATTACHE_XDS_FILES");
      return isReported ? [] : [await checkDirectory(xds.directory)];
    }
    const network = networkOf(context);
    const reached = await Promise.all(network.controlPlanes.map((peer) => network.reach(peer)));
    const isOpen = reached.some((reach) => reach.isOpen);
    const findings = reached.filter((reach) => !isOfCa(reach, network)).flatMap((reach) => findingsOf(reach, isOpen));
    if (!isOpen) return findings;
    return [...findings, findingOf(name, await authStep(network, context)), ...aboutAgent(context)];
  },
};

/** The running agent may have another connection than this command, or none. */
function aboutAgent({ agent }: DoctorContext): readonly Finding[] {
  const state = peerStateOf(agent, "controlPlane");
  if (state?.connected === undefined) return [];
  if (state.connected) return [ok(`${name}.agent`, "the running agent has a stream to it")];
  const why = state.lastReason === "" ? "" : `: ${state.lastReason}`;
  const cure = "Wait some seconds, and run this again; if it stays, see the log of the agent for its attempts.";
  return [warn(`${name}.agent`, `the running agent has no stream to the control plane${why}`, cure)];
}

/** The check of the CA reports what they have in common. */
function isOfCa({ peer }: Reach, { cas }: Network): boolean {
  return cas.some((member) => peerKey(member.peer) === peerKey(peer));
}

function findingsOf({ steps, isOpen }: Reach, isAnyOpen: boolean): readonly Finding[] {
  return steps.map((step) => findingOf(name, step, isAnyOpen && !isOpen));
}

async function authStep(network: Network, context: DoctorContext): Promise<Step> {
  const probe = await network.probeControlPlane().catch((error: unknown) => {
    return { kind: "unavailable" as const, detail: describeError(error) };
  });
  const { config } = context;
  switch (probe.kind) {
    case "accepted":
      return passed("auth", `the control plane: ${probe.detail}`);
    case "unknown":
      return passed("auth", `the control plane: ${probe.detail}`);
    case "unavailable": {
      const cure = "Look into the log of the control plane; if it serves another purpose, correct discoveryAddress.";
      return failed("auth", `the control plane does not serve configuration: ${probe.detail}`, cure);
    }
    case "rejected": {
      const fact = `the control plane rejects this workload: ${probe.detail}`;
      if (await isRejectedByCaToo(network, config.identity.kind)) return blocked("auth", fact, "token or ca");
      return failed("auth", fact, "Check token and client certificate, and what the control plane accepts.");
    }
  }
}

/** The same token, or its absence, is reported once. */
async function isRejectedByCaToo(network: Network, identity: string): Promise<boolean> {
  const [member] = network.cas;
  if (identity !== "ca" || member === undefined) return false;
  const probe = await network.probeCa(member).catch(() => undefined);
  return probe?.kind === "rejected" || probe?.kind === "no-credential";
}

async function checkDirectory(directory: string): Promise<Finding> {
  try {
    const files = (await readdir(directory)).filter((file) => /\.(ya?ml|json)$/.test(file));
    if (files.length > 0) return ok(name, `none: ${String(files.length)} files of resources in ${directory}`);
    return fail(
      name,
      `the folder of resources ${directory} has no .yaml or .json file`,
      "Put lds.yaml and cds.yaml there.",
    );
  } catch (error) {
    const isMissing = systemCode(error) === "ENOENT";
    const fact = isMissing
      ? `the folder of resources ${directory} does not exist`
      : `the folder of resources ${directory} cannot be read: ${describeError(error)}`;
    return fail(name, fact, "Create it, make it readable for this user, or correct ATTACHE_XDS_FILES.");
  }
}
