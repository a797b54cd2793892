// SPDX-License-Identifier: Apache-2.0

/** What a request line asks for, before any handler is chosen. */
export type RequestTarget =
  /** The path decoded once, to be compared as plain text; the query as it came, without the question mark. */
  | { readonly kind: "path"; readonly path: string; readonly query: string }
  /** The path holds empty or dot segments: the caller is sent to the clean one, and nothing else happens. */
  | { readonly kind: "unclean"; readonly location: string }
  | { readonly kind: "malformed" };

/**
 * Reads the target of a request line as text. It is never given to a URL parser: those fold `..` and `%2e%2e`, and a
 * request for `/healthz/ready/../../quitquitquit`, which Envoy forwards from other pods, would become a remote kill.
 * @param target as on the request line: origin form, or absolute form with scheme and authority
 * Source: Go's http.ServeMux, as observed with pilot-agent
 */
export function parseRequestTarget(target: string): RequestTarget {
  const origin = target.startsWith("/") ? target : originForm(target);
  if (origin === undefined) return { kind: "malformed" };
  const mark = origin.indexOf("?");
  const rawPath = mark < 0 ? origin : origin.slice(0, mark);
  const query = mark < 0 ? "" : origin.slice(mark + 1);
  const clean = cleanPath(rawPath);
  if (clean !== rawPath) return { kind: "unclean", location: mark < 0 ? clean : `${clean}?${query}` };
  try {
    return { kind: "path", path: decodeURIComponent(rawPath), query };
  } catch {
    return { kind: "malformed" };
  }
}

/** Whether a query has the flag, with or without a value. */
export function hasQueryFlag(query: string, name: string): boolean {
  return query.split("&").some((pair) => pair === name || pair.startsWith(`${name}=`));
}

/** The path and query of `http://authority/path?query`; undefined for anything else, such as `*`. */
function originForm(target: string): string | undefined {
  const match = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(target);
  if (match === null) return undefined;
  const rest = match[1] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Folds empty, `.` and `..` segments that are written out; encoded ones are ordinary text. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const trailingSlash = kept.length > 0 && path.endsWith("/");
  return `/${kept.join("/")}${trailingSlash ? "/" : ""}`;
}
