// SPDX-License-Identifier: Apache-2.0
import { findEncoded, findPrivateKeys } from "./encoded-secrets.ts";
import type { FoundSecret } from "./found-secret.ts";
import { findNamedValues, type NamedValueOptions } from "./named-values.ts";
import { remembered } from "./remembered.ts";
import type { Removals } from "./removals.ts";

/** How often base64 within base64 is decoded. */
const mostEncodings = 3;

/**
 * Replaces what is a secret by its form: private keys, tokens, credentials in URLs and in headers, values behind the name
 * of a secret; also within base64.
 */
export function redactText(text: string, removals: Removals, options: NamedValueOptions = {}): string {
  if (text.length < 4 || (options.keepsNumbers === true ? hasNoneButNumbers : hasNone)(text)) return text;
  const found = [...findSecrets(text, options, mostEncodings)].sort((a, b) => a.start - b.start || b.end - a.end);
  let redacted = "";
  let copied = 0;
  for (const { start, end, kind, isOpaque } of found) {
    if (start < copied) {
      copied = Math.max(copied, end);
      continue;
    }
    const mark = removals.count(kind, isOpaque === true ? text.slice(start, end) : undefined);
    redacted += text.slice(copied, start) + mark;
    copied = end;
  }
  return redacted + text.slice(copied);
}

const hasNone = remembered((text) => findSecrets(text, {}, mostEncodings).next().done === true);
const hasNoneButNumbers = remembered(
  (text) => findSecrets(text, { keepsNumbers: true }, mostEncodings).next().done === true,
);

function* findSecrets(text: string, options: NamedValueOptions, encodings: number): Generator<FoundSecret> {
  yield* findPrivateKeys(text);
  yield* findTokens(text);
  yield* findSchemes(text);
  yield* findUserInfo(text);
  yield* findNamedValues(text, options);
  yield* findPrivateNumbers(text);
  if (encodings > 0) {
    yield* findEncoded(text, (decoded) => findSecrets(decoded, options, encodings - 1).next().done !== true);
  }
}

/** Tokens that their issuers make recognisable. Each begins with letters of its own. */
const issuedTokens =
  /\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[oprsu]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,64}|xox[abeoprs]-[\w-]{10,255}|[rs]k_(?:live|test)_\w{10,255}|AIza[\w-]{35}|hv[bsr]\.[\w-]{16,300}|s\.[A-Za-z0-9]{24}\b|npm_\w{30,64}|ya29\.[\w-]{10,512}|AGE-SECRET-KEY-1\w{50,64}|SG\.[\w-]{16,32}\.[\w-]{16,64}|dop_v1_\w{40,80}|sk-[\w-]{20,255})/g;

/** Hashes of passwords, as in a file of htpasswd, and arguments that are a login. */
const logins =
  /\$(?:apr1|1|2[abxy]|5|6|y)\$[\w./$]{8,300}|\{(?:S?SHA\d{0,3}|S?MD5|CRYPT)\}[\w+/=.$]{8,300}|(?<=\s-u[ =]?)[^\s:]{1,100}:\S{1,300}|(?<=\bsshpass -p ?)\S{1,300}/g;

function* findTokens(text: string): Generator<FoundSecret> {
  for (const { 0: login, index } of text.matchAll(logins)) {
    yield { start: index, end: index + login.length, kind: "token" };
  }
  for (const { 0: token, index } of text.matchAll(issuedTokens)) {
    yield { start: index, end: index + token.length, kind: "token" };
  }
  for (const { 0: run, index } of text.matchAll(/[\w.~+/=-]{16,}/g)) {
    const begin = run.search(/ey[AJ]|ew[Ao]/);
    if (begin < 0) continue;
    const [head = "", payload = ""] = run.slice(begin).split(".", 2);
    const header = Buffer.from(head, "base64url").toString("latin1");
    if (payload.length < 4 || !/^\s{0,8}\{\s{0,8}"/.test(header)) continue;
    yield { start: index + begin, end: index + run.length, kind: "token" };
  }
}

const scheme = /\b(?:bearer|basic|digest|negotiate|ntlm|apikey|hmac|aws4-hmac-sha256)(?:[\s:+]|%20|\\t){1,4}/gi;
/** What stands behind these words in prose. */
const prose = /^(?:realm=.{0,200}|[A-Za-z]?[a-z]{1,20}[.:]?)$/;

/** Credentials of an `Authorization` header, wherever they stand. */
function* findSchemes(text: string): Generator<FoundSecret> {
  const stop = /[\s"'<>,;\\&]/g;
  for (const { 0: word, index } of text.matchAll(scheme)) {
    const start = index + word.length;
    stop.lastIndex = start;
    const end = stop.exec(text)?.index ?? text.length;
    const value = text.slice(start, end);
    const isProse = /^bearer/i.test(word)
      ? /^(?:tokens?|auth\w{0,12}|realm=.{0,200})$/i.test(value)
      : prose.test(value);
    if (value.length >= 6 && !isProse && value !== "[redacted]")
      yield { start, end, kind: "authorization", isOpaque: true };
  }
}

/** `//user:password@host`, `%2F%2Fuser:password%40host`, and `user:password@host` without a scheme. */
function* findUserInfo(text: string): Generator<FoundSecret> {
  for (const mark of ["://", "%3A%2F%2F", "%3a%2f%2f"]) {
    let atSign = 0;
    for (let start = behind(text, mark, 0); start >= 0; start = behind(text, mark, start)) {
      // a text may have a hundred thousand marks, and the sign is far away
      if (atSign < start) atSign = endOfLogin(text, start, mark);
      if (atSign - start > longestLogin) continue;
      const segment = /^[^\s"'<>\\`]*/.exec(text.slice(start, start + longestLogin))?.[0] ?? "";
      const length = userInfoLength(segment, mark === "://" ? "@" : segment.includes("%40") ? "%40" : "@");
      if (length === 0) continue;
      yield { start, end: start + length, kind: "url-credentials" };
      start += length;
    }
  }
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    const before = /[^\s"'<>\\`@,;(){}|]{3,256}$/.exec(text.slice(Math.max(0, at - 256), at))?.[0] ?? "";
    const start = before.search(/[^\s/=:&?]{1,128}:[^:]/);
    if (start < 0 || before.includes("://") || !/^[\w-]/.test(text.slice(at + 1, at + 2))) continue;
    if (!text.startsWith("sha256:", at + 1))
      yield { start: at - before.length + start, end: at, kind: "url-credentials" };
  }
}

const longestLogin = 1_024;

function behind(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? at : at + mark.length;
}

/** Where the next `@` is, which may be encoded as the mark is; infinity if there is none. */
function endOfLogin(text: string, from: number, mark: string): number {
  const signs = mark === "://" ? ["@"] : ["@", "%40"];
  const found = signs.map((sign) => text.indexOf(sign, from)).filter((at) => at >= 0);
  return Math.min(Number.POSITIVE_INFINITY, ...found);
}

/** A password may have slashes; a port has none. */
function userInfoLength(segment: string, at: string): number {
  const authority = segment.split(/[/?#]/, 1)[0] ?? "";
  const inAuthority = authority.lastIndexOf(at);
  if (inAuthority >= 0) return inAuthority;
  const hasPort = /^(?:\[[^\]]*\]|[^:]*):\d{1,5}$/.test(authority);
  return authority.includes(":") && !hasPort && !authority.startsWith("[") ? Math.max(0, segment.lastIndexOf(at)) : 0;
}

/** The private numbers of a key in JSON (JWK), and symmetric keys. Source: RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1 */
function* findPrivateNumbers(text: string): Generator<FoundSecret> {
  for (const { 0: member, index } of text.matchAll(
    /"(?:d|p|q|dp|dq|qi|k)\\{0,8}"\s{0,8}:\s{0,8}\\{0,8}"[\w+/=-]{20,}/g,
  )) {
    yield { start: index + member.lastIndexOf('"') + 1, end: index + member.length, kind: "private-key" };
  }
}
