// SPDX-License-Identifier: Apache-2.0
import { BlockList } from "node:net";
import { ipFamily } from "../../lib/net/ip-address.ts";

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

/** Addresses that a realm must not have. */
export const privateCidrs = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "0.0.0.0/8",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
];
const privateRanges = new BlockList();
for (const cidr of privateCidrs) {
  const [address = "", bits = ""] = cidr.split("/");
  privateRanges.addSubnet(address, Number(bits), address.includes(":") ? "ipv6" : "ipv4");
}

/** A registry must not direct the login to a private address. */
function assertRealm(realm: string): void {
  const url = URL.parse(realm);
  const host = url?.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase() ?? "";
  const family = ipFamily(host);
  const isPrivate = family !== 0 && privateRanges.check(host, family === 6 ? "ipv6" : "ipv4");
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  if (!isWeb || host === "" || host === "localhost" || host === "metadata.google.internal" || isPrivate) {
    throw new Error(`the registry's realm ${realm} is not allowed`);
  }
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}
