// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../../../lib/async/clock.ts";
import { orAborted } from "../../../lib/async/tasks.ts";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { readTextStart } from "../../../lib/fs/bounded-read.ts";
import { ipFamily } from "../../../lib/net/ip-address.ts";

const timeoutMs = 1_000;
const maxFileBytes = 64 * 1024;
/** The C library uses no more. Source: resolv.conf(5) */
const mostServers = 3;

/** A resolver's response to one query. */
export interface ResolverResponse {
  readonly server: string;
  /** Undefined: it responds, if only to say that there is no such name. */
  readonly problem: string | undefined;
  /** Whether there was a response at all, such as a failure of the resolvers behind it. */
  readonly responds: boolean;
  readonly tookMs: number;
}

/** What resolv.conf says, and who of it responds. */
export interface ResolverReading {
  readonly path: string;
  /** Why the file cannot be read; undefined if it can. */
  readonly problem: string | undefined;
  readonly searchDomains: readonly string[];
  readonly responses: readonly ResolverResponse[];
}

/** Reads a resolv.conf, and sends each of its resolvers one query for the name. */
export async function readResolvers(
  path: string,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<ResolverReading> {
  let text: string;
  try {
    text = await readTextStart(path, maxFileBytes);
  } catch (error) {
    return { path, problem: describeError(error), searchDomains: [], responses: [] };
  }
  const { servers, searchDomains } = parseResolvConf(text);
  const responses = await Promise.all(servers.map((server) => queryResolver(server, name, clock, signal)));
  return { path, problem: undefined, searchDomains, responses };
}

/** Source: resolv.conf(5) */
export function parseResolvConf(text: string): {
  readonly servers: readonly string[];
  readonly searchDomains: readonly string[];
} {
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/));
  const values = (keyword: string): readonly (readonly string[])[] =>
    lines.filter(([first]) => first === keyword).map(([, ...rest]) => rest);
  const servers = values("nameserver").flatMap(([server = ""]) => (server === "" ? [] : [server]));
  return { servers: [...new Set(servers)].slice(0, mostServers), searchDomains: values("search").at(-1) ?? [] };
}

/** Any response counts, also that there is no such name. @param server an IP address, with a port if it is not 53 */
export async function queryResolver(
  server: string,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<ResolverResponse> {
  const startMs = clock.monotonicMs();
  const { Resolver } = await import("node:dns/promises");
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  using limit = deadline(clock, timeoutMs + 100, signal);
  let failure: unknown;
  try {
    resolver.setServers([server]);
    await orAborted(resolver.resolve4(name), limit.signal);
  } catch (error) {
    failure = error;
  } finally {
    resolver.cancel();
  }
  const code = failure === undefined ? "ENODATA" : systemCode(failure);
  const problem = problemOf(code);
  const responds = problem === undefined || failures.has(code ?? "");
  return { server, problem, responds, tookMs: clock.monotonicMs() - startMs };
}

const failures: ReadonlySet<string> = new Set(["ESERVFAIL", "EREFUSED"]);

function problemOf(code: string | undefined): string | undefined {
  switch (code) {
    case "ENOTFOUND":
    case "ENODATA":
      return undefined;
    case "ESERVFAIL":
      return "it fails (SERVFAIL)";
    case "EREFUSED":
      return "it rejects queries (REFUSED)";
    case "ECONNREFUSED":
      return "nothing listens there";
    case "ERR_INVALID_IP_ADDRESS":
      return "this is not an IP address";
    default:
      return `no response within ${String(timeoutMs)} ms`;
  }
}

/** Whether a host is looked up with a resolver: it is neither an address nor this machine. */
export function needsResolver(host: string): boolean {
  return host !== "" && host !== "localhost" && !host.endsWith(".localhost") && ipFamily(host) === 0;
}
