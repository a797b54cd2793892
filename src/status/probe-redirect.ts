// SPDX-License-Identifier: Apache-2.0

/** What a probe does with a redirect. */
export type RedirectStep =
  | { readonly kind: "follow"; readonly url: URL; readonly absolute: boolean }
  /** Counts as a success: the redirect leads to another host, or nowhere. */
  | { readonly kind: "stop" }
  | { readonly kind: "refuse"; readonly reason: string };

/** The statuses with which a GET goes elsewhere. */
const redirectStatuses = new Set([301, 302, 303, 307, 308]);
/** As many requests are made in all, the first included. */
const maxRequests = 10;

/**
 * Decides by the kubelet's rules: a redirect on the same host name is followed, whatever its port and scheme; one to
 * another host is not, and counts as a success.
 * @param from the URL that was asked @param requestsMade including the one that was answered by this redirect
 * Source: kubernetes pkg/probe/http, RedirectChecker; Go's http.Client
 */
export function nextRedirect(
  status: number,
  location: string | undefined,
  from: URL,
  requestsMade: number,
): RedirectStep {
  if (!redirectStatuses.has(status) || location === undefined || location === "") return { kind: "stop" };
  if (!URL.canParse(location, from)) return { kind: "refuse", reason: "redirect to a location that is no URL" };
  const url = new URL(location, from);
  if (url.hostname !== from.hostname) return { kind: "stop" };
  if (requestsMade >= maxRequests) return { kind: "refuse", reason: `stopped after ${String(maxRequests)} redirects` };
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return { kind: "refuse", reason: `redirect to the unsupported scheme ${url.protocol.slice(0, -1)}` };
  }
  return { kind: "follow", url, absolute: URL.canParse(location) };
}
