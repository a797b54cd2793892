// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { EnvoyAdmin } from "../../../envoy/index.ts";
import { type JsonObject, objectOf, objectsOf, textOf } from "../../../lib/json.ts";
import { readPortHolder } from "../../../lib/net/socket-table.ts";
import { shortenPeerText } from "../../../lib/printable-text.ts";
import { oneLine } from "../../../lib/trim.ts";
import { listenerErrorsPath, readListenerErrors } from "../../../model/listener-errors.ts";
import { type DoctorContext, fail, type Finding, warn } from "../check.ts";
import { fileOf } from "../refused-file.ts";
import type { AgentCheck } from "../running-agent.ts";

/** Configuration that Envoy does not accept. */
export interface Rejection {
  /** `listener a`, `Listener 1.2.3` */
  readonly what: string;
  readonly reason: string;
}

const mostBytes = 16 * 1024 * 1024;
const shown = 3;

/**
 * What Envoy rejects now: as the agent knows it, else as Envoy itself does.
 * @param admin undefined if Envoy does not answer
 */
export async function rejectionFindings(
  { agent, config, signal }: DoctorContext,
  admin: EnvoyAdmin | undefined,
): Promise<readonly Finding[]> {
  const types = objectsOf(objectOf(agent?.overview?.["xds"])["types"]);
  const known = types.flatMap(agentRejection);
  if (known.length > 0) return await describe(known);
  if (admin === undefined) return [];
  const states = await readErrorStates(admin, signal);
  if (config.xds.kind !== "files") return await describe(states);
  const { directory } = config.xds;
  const reported = (agent?.checks ?? []).flatMap(detailsOf).filter((detail) => fileOf(detail) !== undefined);
  // what the condition of readiness says, with its file, is said once
  const others = states.filter(({ what }) => !reported.some((detail) => detail.includes(`: ${what}: `)));
  const findings = await describe(others, join(directory, "lds.yaml"));
  return findings.length > 0 || reported.length > 0 ? findings : await fileFindings(admin, signal);
}

/** A file that Envoy cannot read or use leaves a count behind, and a line in its log. */
async function fileFindings(admin: EnvoyAdmin, signal: AbortSignal): Promise<readonly Finding[]> {
  const filter = "%5E(listener_manager%5C.lds%7Ccluster_manager%5C.cds)%5C.update_(failure%7Crejected)$";
  const text = await admin.stats(filter, {}, signal).catch(() => "");
  const counts = [...text.matchAll(/^\S+\.(lds|cds)\.update_(failure|rejected): ([1-9]\d*)$/gm)];
  return counts.map(([, type = "", kind = "", count = ""]) => {
    const what = kind === "failure" ? "could not be read" : "was rejected";
    const fact = `${type}.yaml ${what} ${count === "1" ? "once" : `${count} times`} since Envoy's start`;
    return warn("envoy-admin.files", fact, "Look in the log for the reason; Envoy keeps what it had before.");
  });
}

function agentRejection(type: JsonObject): readonly Rejection[] {
  const refusal = type["refusal"];
  if (refusal === undefined) return [];
  const { version, resources, reason } = objectOf(refusal);
  const name = textOf(type["typeUrl"]).split(".").at(-1) ?? "";
  const names = Array.isArray(resources) ? resources.filter((each) => typeof each === "string") : [];
  const list = names.length === 0 ? "" : ` (${names.slice(0, shown).join(", ")}${names.length > shown ? ", …" : ""})`;
  return [{ what: `${name}${list} of version ${shortenPeerText(textOf(version))}`, reason: textOf(reason) }];
}

async function readErrorStates(admin: EnvoyAdmin, signal: AbortSignal): Promise<readonly Rejection[]> {
  const text = await admin.request("GET", listenerErrorsPath, { maxBytes: mostBytes }, signal).catch(() => "");
  return readListenerErrors(text);
}

function detailsOf({ detail, children }: AgentCheck): readonly string[] {
  return [detail, ...children.flatMap(detailsOf)];
}

/** @param file where the resources are, if not at a control plane */
async function describe(rejections: readonly Rejection[], file?: string): Promise<readonly Finding[]> {
  return await Promise.all(rejections.map(async (rejection) => await describeOne(rejection, file)));
}

async function describeOne({ what, reason }: Rejection, file: string | undefined): Promise<Finding> {
  const extension = missingExtension(reason);
  if (extension !== undefined) {
    const fact = `Envoy rejects ${what}: it has no extension ${extension}`;
    const istios = isIstios(extension) ? ", such as Istio's (of the image istio/proxyv2)" : "";
    const removal = file === undefined ? "have the control plane not send it" : `remove it from ${file}`;
    return fail("envoy-admin.extension", fact, `Use an Envoy with it${istios}, or ${removal}.`);
  }
  const text = shortenPeerText(oneLine(reason));
  const port = /cannot bind '\S*?:(\d+)': Address already in use/.exec(reason)?.[1];
  if (port !== undefined) {
    const holder = (await readPortHolder(Number(port))) ?? "a process that cannot be seen";
    const fact = `Envoy rejects ${what}: port ${port} is held by ${holder}`;
    return fail("envoy-admin.listeners", fact, "Stop that process, or give the listener another port.");
  }
  const where = file === undefined ? "the resource, which is named in the reason" : `it in ${file}`;
  const cure = `Correct ${where}; Envoy keeps the version before until then.`;
  return fail("envoy-admin.configuration", `Envoy rejects ${what}: ${text}`, cure);
}

/** Source: texts of Envoy 1.40 for a filter without, and with, a name that it does not know */
export function missingExtension(reason: string): string | undefined {
  const [, name, typeUrl = ""] =
    /[Dd]idn't find a registered implementation for '([^']*)'(?: with type URL: '([^']*)')?/.exec(reason) ?? [];
  if (name !== undefined) return [name, typeUrl.replace(/^.*\//, "")].filter(Boolean).join(", type ");
  const type = /could not find @type '([^']*)'|unknown type(?: URL)?:? '?([\w./]+)/i.exec(reason);
  return (type?.[1] ?? type?.[2])?.replace(/^.*\//, "");
}

function isIstios(extension: string): boolean {
  return /istio|stats\.PluginConfig|metadata_exchange|peer_metadata/i.test(extension);
}
