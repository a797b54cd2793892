// SPDX-License-Identifier: Apache-2.0
import type { EnvoyAdmin, EnvoyCertificate } from "../../../envoy/index.ts";
import { type JsonObject, objectsOf, textOf } from "../../../lib/json.ts";
import { type DoctorContext, fail, type Finding, ok } from "../check.ts";
import { readRunningAgent } from "../running-agent.ts";

/** A renewed certificate reaches Envoy in this time. */
const settleMs = 500;

/** Whether Envoy uses the certificate that the agent holds, and none that has expired. */
export async function certificateFindings(context: DoctorContext, admin: EnvoyAdmin): Promise<readonly Finding[]> {
  const { agent, clock, signal } = context;
  const first = await compare(agent?.overview, admin, context);
  if (first.every(({ outcome }) => outcome === "ok") || agent === undefined) return first;
  // it may have been renewed between the two readings
  await clock.delay(settleMs, signal);
  const again = await readRunningAgent(agent.address, clock, signal);
  return await compare(again.agent?.overview, admin, context);
}

async function compare(
  overview: JsonObject | undefined,
  admin: EnvoyAdmin,
  { clock, signal }: DoctorContext,
): Promise<readonly Finding[]> {
  const check = "envoy-admin.certificate";
  const contexts = await admin.certs(signal).catch(() => []);
  // a chain has its leaf first
  const leaves = contexts.flatMap(({ chain }) => chain.slice(0, 1)).filter(isWorkloads);
  const expired = leaves.find(({ notAfterMs }) => notAfterMs < clock.now());
  if (expired !== undefined) {
    const fact = `Envoy uses a certificate that expired at ${new Date(expired.notAfterMs).toISOString()} (serial ${expired.serial})`;
    return [
      fail(check, fact, "See to it that the CA renews it: the other findings and the agent's log say why it does not."),
    ];
  }
  const held = objectsOf(overview?.["certificates"]).find((entry) => entry["resourceName"] === "default");
  if (held === undefined || leaves.length === 0) return [];
  const serial = plain(textOf(held["serial"]));
  const other = leaves.find((leaf) => plain(leaf.serial) !== serial);
  if (other === undefined) return [ok(check, `Envoy uses the agent's certificate (serial ${serial})`)];
  const fact = `Envoy uses a certificate with the serial ${plain(other.serial)}, the agent holds ${serial}`;
  return [fail(check, fact, "Restart the container; if it comes back, look for SDS rejections in the agent's log.")];
}

/** Others are of secrets that the control plane or files provide. */
function isWorkloads({ uris }: EnvoyCertificate): boolean {
  return uris.some((uri) => uri.startsWith("spiffe://"));
}

/** In upper case, without leading zeros. */
function plain(serial: string): string {
  return serial.toUpperCase().replace(/^0+(?=.)/, "");
}
