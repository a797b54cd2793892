// SPDX-License-Identifier: Apache-2.0
import { startTask } from "../lib/async/tasks.ts";
import type { Budget } from "../lib/budget.ts";
import type { Deps } from "../lib/deps.ts";
import { AgentError, describeError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { readTextStart } from "../lib/fs/bounded-read.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import type { Logger } from "../lib/log/log.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import type { Budgets } from "../model/limits.ts";
import { fullName } from "./lookup-table.ts";

/** The machine's resolvers and search domains. */
export interface ResolvConf {
  /** IP addresses without duplicates, in the order of the file. */
  readonly servers: readonly string[];
  /** In lower case with a trailing dot, in the order of the file. */
  readonly searchDomains: readonly string[];
  /** The first one. */
  readonly searchDomain: string | undefined;
}

/** resolv.conf cannot be read, so other names than the mesh's would not resolve. Fatal at start. */
export class ResolvConfError extends AgentError {
  readonly code = "AGENT_DNS_RESOLVERS";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  constructor(path: string, cause: unknown) {
    super(`read resolvers from ${path}: make the file readable for this user, or set ATTACHE_RESOLV_CONF`, {
      cause,
    });
    this.path = path;
  }
}

/** The resolvers of resolv.conf, kept current. */
export interface Resolvers extends AsyncDisposable {
  readonly current: ResolvConf;
}

const debounceMs = 100;
const pollMs = 30_000;

/**
 * Watches resolv.conf. While it cannot be read, the previous resolvers are kept.
 * @throws ResolvConfError when it cannot be read at first
 */
export async function followResolvers(
  paths: readonly string[],
  { log, clock, budgets, fail }: Pick<Deps, "log" | "clock" | "fail"> & { readonly budgets: Budgets },
): Promise<Resolvers> {
  const fileBytes = budgets.of("dns-file-bytes");
  let current = await readResolvConf(paths, fileBytes);
  log.debug("resolvers", { ...current });
  warnIfNone(log, current);
  const task = startTask(async (signal) => {
    let isUnreadable = false;
    for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
      try {
        const read = await readResolvConf(paths, fileBytes);
        if (!isEqual(read, current)) {
          log.info("resolvers changed", { ...read });
          warnIfNone(log, read);
          current = read;
        }
        isUnreadable = false;
      } catch (error) {
        if (!isUnreadable) {
          log.warn("cannot read resolv.conf; keeping the previous resolvers", { reason: describeError(error) });
        }
        isUnreadable = true;
      }
    }
  }, fail);
  return {
    get current() {
      return current;
    },
    [Symbol.asyncDispose]: () => task[Symbol.asyncDispose](),
  };
}

/** Reads the first of the files that exists. @throws ResolvConfError */
async function readResolvConf(paths: readonly string[], fileBytes: Budget): Promise<ResolvConf> {
  let problem: ResolvConfError | undefined;
  for (const path of paths) {
    try {
      return parseResolvConf(await readStart(path, fileBytes));
    } catch (error) {
      problem = new ResolvConfError(path, error);
      if (systemCode(error) !== "ENOENT") break;
    }
  }
  throw problem ?? new Error("no path of resolv.conf is configured");
}

/** Without the part that is beyond the limit. */
async function readStart(path: string, fileBytes: Budget): Promise<string> {
  const text = await readTextStart(path, fileBytes.size + 1);
  return fileBytes.admits(text.length) ? text : text.slice(0, fileBytes.size);
}

/** Source: resolv.conf(5); options and sortlist are ignored */
function parseResolvConf(text: string): ResolvConf {
  const servers = new Set<string>();
  let searchDomains: readonly string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, first, ...others] = line.replace(/^\s*[#;].*/, "").split(/\s+/);
    if (first === undefined || first === "") continue;
    if (keyword === "nameserver" && ipFamily(first) !== 0) servers.add(first);
    else if (keyword === "search" || keyword === "domain") {
      const listed = keyword === "search" ? [first, ...others.filter((domain) => domain !== "")] : [first];
      searchDomains = listed.map(fullName).filter((domain) => domain !== ".");
    }
  }
  return { servers: [...servers], searchDomains, searchDomain: searchDomains[0] };
}

function warnIfNone(log: Logger, { servers }: ResolvConf): void {
  if (servers.length === 0) log.warn("resolv.conf has no resolver; only names of the mesh can be resolved");
}

function isEqual(left: ResolvConf, right: ResolvConf): boolean {
  return left.searchDomains.join() === right.searchDomains.join() && left.servers.join() === right.servers.join();
}
