// SPDX-License-Identifier: Apache-2.0
import { ipFamily } from "../../lib/net/ip-address.ts";
import { BlockedAddresses, privateCidrs } from "./blocked-addresses.ts";

/** Name and password for one registry. */
export interface RegistryLogin {
  /** As in an `authorization: Basic` header. */
  readonly basic: string;
}

/** The registry of Docker Hub; docker configurations have its logins under other names. */
export const dockerHub = "registry-1.docker.io";
const dockerHubNames = ["index.docker.io", "docker.io"];

/**
 * The login for a registry in a docker configuration, whose keys are hosts, or URLs with them.
 * @returns undefined when the configuration has none for it
 * @throws Error when it is not a docker configuration
 */
export function parsePullSecret(json: string, registry: string): RegistryLogin | undefined {
  let secret: unknown;
  try {
    secret = JSON.parse(json);
  } catch {
    // The engine's message may quote the secret.
    throw new Error("the pull secret is not JSON");
  }
  const auths = memberOf(secret, "auths");
  if (typeof auths !== "object" || auths === null) throw new Error("the pull secret has no auths");
  const names = [registry, ...(registry === dockerHub ? dockerHubNames : [])];
  const entry = names.map((name) => entryOf(auths, name)).find((found) => found !== undefined);
  if (entry === undefined) return undefined;
  const auth = memberOf(entry, "auth");
  if (typeof auth === "string" && auth !== "") return { basic: auth };
  const [name, password] = [memberOf(entry, "username"), memberOf(entry, "password")];
  if (typeof name !== "string" || typeof password !== "string") return undefined;
  return { basic: Buffer.from(`${name}:${password}`).toString("base64") };
}

function entryOf(auths: object, name: string): unknown {
  const hostOf = (key: string): string => key.replace(/^https?:\/\//, "").split("/", 1)[0] ?? "";
  return memberOf(auths, name) ?? Object.entries(auths).find(([key]) => hostOf(key) === name)?.[1];
}

/** Where the registry's tokens are issued. */
export interface BearerChallenge {
  readonly realm: string;
  readonly service: string | undefined;
  readonly scope: string | undefined;
}

/**
 * Reads a `www-authenticate` header.
 * @returns undefined when there is no Bearer challenge in it
 * @throws Error when a realm in it is not an allowed address
 */
export function parseChallenge(header: string): BearerChallenge | undefined {
  for (const [, realm = ""] of header.matchAll(/realm="([^"]*)"/gi)) assertRealm(realm);
  if (!/(^|[\s,])bearer\s/i.test(header)) return undefined;
  const value = (name: string): string | undefined => new RegExp(`${name}="([^"]*)"`, "i").exec(header)?.[1];
  const realm = value("realm");
  return realm === undefined ? undefined : { realm, service: value("service"), scope: value("scope") };
}

const privateAddresses = new BlockedAddresses(privateCidrs);

/** A registry must not direct the login to a private address. */
function assertRealm(realm: string): void {
  const url = URL.parse(realm);
  const host = url?.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase() ?? "";
  const isPrivate = ipFamily(host) !== 0 && privateAddresses.has(host);
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  if (!isWeb || host === "" || host === "localhost" || host === "metadata.google.internal" || isPrivate) {
    throw new Error(`the registry's realm ${shortened(realm)} is not allowed`);
  }
}

/**
 * Whether a login for a registry is for the realm too: on its host, or in its domain, as auth.docker.io is for
 * registry-1.docker.io.
 * @param registry host, or host and port
 */
export function isOwnRealm(realm: URL, registry: string): boolean {
  const host = URL.parse(`https://${registry}`)?.hostname ?? "";
  if (realm.hostname === host) return true;
  if (host === "" || ipFamily(host) !== 0 || host.startsWith("[")) return false;
  const domain = domainOf(host);
  return realm.hostname === domain || realm.hostname.endsWith(`.${domain}`);
}

/** The parent, unless it looks like a public suffix, such as `co.uk`: then hosts in it have different owners. */
function domainOf(host: string): string {
  const [, ...parent] = host.split(".");
  const [second = "", top = ""] = parent;
  const isPublic = parent.length < 2 || (parent.length === 2 && top.length === 2 && second.length <= 3);
  return isPublic ? host : parent.join(".");
}

/** For a message: a registry may send texts of any length. */
export function shortened(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}...`;
}

const maxTextLength = 100;

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}
