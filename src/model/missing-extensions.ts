// SPDX-License-Identifier: Apache-2.0
import { shortenPeerText } from "../lib/printable-text.ts";

/** Which settings keep istiod from sending an extension of Istio's own. Source: Istio 1.31, pilot/pkg/features */
const settings: readonly { readonly extension: RegExp; readonly setting: string }[] = [
  { extension: /metadata_?exchange|peer_metadata/i, setting: "PILOT_ENABLE_METADATA_EXCHANGE=false" },
  { extension: /istio\.alpn/i, setting: "PILOT_ENABLE_ALPN_FILTER=false" },
  {
    extension: /istio\.stats|stats\.PluginConfig/i,
    setting: "no metrics provider (meshConfig.defaultProviders, Telemetry)",
  },
];

const mostNamed = 5;

/**
 * Names the extensions that Envoy lacks by its error message, and what to do about it.
 * @param sender who has to leave them out
 * @returns undefined when the message is about something else
 * Source: texts observed with Envoy 1.40
 */
export function adviceOnMissingExtensions(
  reason: string,
  sender: "control plane" | "file" = "control plane",
): string | undefined {
  const found = new Map<string, string>();
  for (const match of reason.matchAll(
    /registered implementation for (?:name: |type: )?'([^']*)'(?: with type URL: '([^']*)')?/g,
  )) {
    const [, name = "", type = ""] = match;
    found.set(name === "" ? type : name, `${name} ${type}`);
  }
  if (found.size === 0) return undefined;
  const names = [...found.keys()].slice(0, mostNamed).map(shortenPeerText).join(", ");
  const lacked = `this Envoy lacks ${names}: use Istio's Envoy (the proxyv2 image's)`;
  if (sender === "file") return `${lacked}, or remove it from the file`;
  const known = settings.filter(({ extension }) => [...found.values()].some((text) => extension.test(text)));
  const rest = known.length === 0 ? "" : `, or set at istiod: ${known.map(({ setting }) => setting).join(", ")}`;
  return `${lacked}${rest}`;
}
