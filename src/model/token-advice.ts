// SPDX-License-Identifier: Apache-2.0
import { formatMoment, formatSpan } from "../lib/relative-time.ts";
import { parseJwt } from "../lib/pki/jwt.ts";
import { shortenPeerText } from "../lib/printable-text.ts";

/** What authenticated a call that a CA or a control plane rejected. */
export interface RejectedCredential {
  /** The token that was sent; undefined when none was. */
  readonly token: string | undefined;
  /** Why none was sent, with what to do about it. */
  readonly problem?: string | undefined;
  /** The token's file, or the server that it comes from. */
  readonly source: string;
  /** Wall clock. */
  readonly nowMs: number;
}

/** The audience that istiod accepts unless `TOKEN_AUDIENCES` names others. Source: Istio 1.31 */
const istioAudience = "istio-ca";

/**
 * What to do about a request that was rejected, as far as the token shows it. The token is read and not verified; of its
 * claims only those that name somebody are shown.
 * @param spiffeId the identity in the request; undefined where it names none
 */
export function adviceOnRejection(
  status: "UNAUTHENTICATED" | "PERMISSION_DENIED",
  spiffeId: string | undefined,
  { token, problem, source, nowMs }: RejectedCredential,
): string {
  if (token === undefined) return `no token was sent: ${problem ?? "check the client certificate, or mount a token"}`;
  const claims = parseJwt(token)?.claims;
  const identity = spiffeId ?? "this workload";
  if (claims === undefined && status === "PERMISSION_DENIED") return `allow ${identity} there`;
  if (claims === undefined) return `check the token in ${source}, which is not a JWT`;
  const { audiences, subject = "nobody", issuer = "nobody", expiresMs } = claims;
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject);
  const isOther = account !== null && spiffeId?.endsWith(`/ns/${account[1] ?? ""}/sa/${account[2] ?? ""}`) === false;
  const who = quoted(account === null ? subject : `${account[1] ?? ""}/${account[2] ?? ""}`);
  if (isOther)
    return `the token in ${source} is of ${who}, not of ${identity}: set POD_NAMESPACE and SERVICE_ACCOUNT to it`;
  if (status === "PERMISSION_DENIED") return `allow ${identity} there (the token in ${source} is of ${who})`;
  if (expiresMs !== undefined && expiresMs <= nowMs) {
    return `the token in ${source} expired ${formatMoment(expiresMs, nowMs)}: mount one that is renewed`;
  }
  const named = audiences.slice(0, 3).map(quoted).join(", ");
  if (!audiences.includes(istioAudience)) {
    const found = named === "" ? "no audience" : `the audience ${named}`;
    return `the token in ${source} is for ${found}, istiod expects "${istioAudience}": mount a token for that audience`;
  }
  const left = expiresMs === undefined ? "" : `, valid for ${formatSpan(expiresMs - nowMs)}`;
  return `the token in ${source} is of ${who} for ${named}${left}: check that its issuer is trusted there: ${quoted(issuer)}`;
}

function quoted(text: string): string {
  return JSON.stringify(shortenPeerText(text).slice(0, 100));
}
