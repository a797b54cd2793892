// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { AgentError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import { fullName } from "./lookup-table.ts";

/** Whom the machine asks for names, and where it looks for short ones. */
export interface ResolvConf {
  /** IP addresses, each once, in the order given. */
  readonly servers: readonly string[];
  /** The first one, in lower case with a trailing dot. */
  readonly searchDomain: string | undefined;
}

/** Nobody can be asked for names that are not the mesh's. Fatal at start. */
export class ResolvConfError extends AgentError {
  readonly code = "AGENT_DNS_RESOLVERS";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  constructor(path: string, cause: unknown) {
    super(`read the resolvers in ${path}: make it readable for this user, or name another in ATTACHE_RESOLV_CONF`, {
      cause,
    });
    this.path = path;
  }
}

/** Source: resolv.conf(5); options and sortlist are not heeded */
export function parseResolvConf(text: string): ResolvConf {
  const servers = new Set<string>();
  let searchDomain: string | undefined;
  for (const line of text.split("\n")) {
    const [keyword, first] = line.replace(/^\s*[#;].*/, "").split(/\s+/);
    if (first === undefined || first === "") continue;
    if (keyword === "nameserver" && ipFamily(first) !== 0) servers.add(first);
    else if (keyword === "search" || keyword === "domain") searchDomain = fullName(first);
  }
  return { servers: [...servers], searchDomain: searchDomain === "." ? undefined : searchDomain };
}

/**
 * Reads the first of the files that is there.
 * @throws ResolvConfError
 */
export async function readResolvConf(paths: readonly string[]): Promise<ResolvConf> {
  let problem: ResolvConfError | undefined;
  for (const path of paths) {
    try {
      return parseResolvConf(await readFile(path, "utf8"));
    } catch (error) {
      problem = new ResolvConfError(path, error);
      if (systemCode(error) !== "ENOENT") break;
    }
  }
  throw problem ?? new Error("no path of resolv.conf is configured");
}
