// SPDX-License-Identifier: Apache-2.0
import type { ProbeRequest } from "./probe-outcome.ts";

/** Headers that belong to the connection with the kubelet, or that say something about a body that is not passed on. */
const notCopied = new Set(["host", "connection", "keep-alive", "content-length", "transfer-encoding", "expect"]);

/**
 * The headers that the application gets besides Host, names and values in turn: those of the kubelet's request in their
 * order, and a close unless connections are kept.
 * Source: istio cmd/pilot-agent/status, kubernetes pkg/probe/http
 */
export function copiedHeaders({ rawHeaders, headers }: ProbeRequest, keepAlive: boolean): readonly string[] {
  const copied: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    if (!notCopied.has(name.toLowerCase())) copied.push(name, value);
  }
  if (headers["user-agent"] === undefined) copied.push("User-Agent", "attache-probe");
  if (!keepAlive) copied.push("Connection", "close");
  return copied;
}

export interface AuthorityOptions {
  readonly statusPort: number;
  readonly appPort: number;
  /** Used when the kubelet sent no Host. */
  readonly authority: string;
}

/** The Host that the application gets: that of the kubelet's request, with its own port where that was the status port. */
export function appAuthority(host: string | undefined, { statusPort, appPort, authority }: AuthorityOptions): string {
  if (host === undefined || host === "") return authority;
  const match = /^(.*):(\d+)$/.exec(host);
  if (match === null || Number(match[2]) !== statusPort) return host;
  return `${match[1] ?? ""}:${String(appPort)}`;
}
