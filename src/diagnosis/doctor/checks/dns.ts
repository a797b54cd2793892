// SPDX-License-Identifier: Apache-2.0
import type { DnsConfig } from "../../../dns/index.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { type Network, networkOf } from "../network/network.ts";
import { queryResolver, readResolvers, type ResolverReading } from "../network/resolvers.ts";
import { milliseconds } from "../network/step.ts";

const name = "dns";
const systemFile = "/etc/resolv.conf";

/** The machine's resolvers, those that the agent's DNS proxy forwards to, and the DNS proxy of the running agent. */
export const dnsCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const { dns } = context.config;
    const network = networkOf(context);
    const reached = await network.reachAll();
    const isNeeded = reached.some(({ steps }) =>
      steps.some(({ part, outcome }) => part === "resolve" && outcome !== "ok"),
    );
    const found: (Finding | undefined)[] = [aboutResolvers(await network.resolvers(), isNeeded)];
    if (dns !== undefined) found.push(await aboutForwarding(dns, network, context));
    if (dns !== undefined && context.agent !== undefined) found.push(await aboutProxy(dns, network, context));
    return found.filter((finding) => finding !== undefined);
  },
};

/** @param isNeeded whether a name could not be looked up; otherwise it is in a file of hosts, or other programs need it */
function aboutResolvers({ path, problem, responses, searchDomains }: ResolverReading, isNeeded: boolean): Finding {
  const severe = isNeeded ? fail : warn;
  if (problem !== undefined) {
    return severe(
      name,
      `${path} cannot be read: ${problem}`,
      "Make it readable for the agent's user; names cannot be looked up.",
    );
  }
  if (responses.length === 0) return warn(name, `${path} names no resolver`, `Add a nameserver to ${path}.`);
  const dead = responses.filter((response) => response.problem !== undefined);
  const texts = dead.map((response) => `${response.server}: ${response.problem ?? ""}`).join("; ");
  const cure = "Check that the DNS service runs, and that UDP and TCP port 53 of it can be reached from here.";
  if (dead.length === responses.length) return severe(name, `no resolver of ${path} responds: ${texts}`, cure);
  if (dead.length > 0) return warn(name, `a resolver of ${path} does not respond: ${texts}`, cure);
  const all = responses.map(({ server, tookMs }) => `${server} (${milliseconds(tookMs)})`).join(", ");
  const search = searchDomains.length === 0 ? "" : `; search ${searchDomains.join(" ")}`;
  return ok(name, `the resolvers of ${path} respond: ${all}${search}`);
}

/** Where the DNS proxy has another file than the machine. */
async function aboutForwarding(
  { forward }: DnsConfig,
  network: Network,
  { clock, signal }: DoctorContext,
): Promise<Finding | undefined> {
  if (forward.resolvConfPaths.every((path) => path === systemFile)) return undefined;
  const query = network.namesToResolve()[0] ?? "localhost.";
  const readings = await Promise.all(forward.resolvConfPaths.map((path) => readResolvers(path, query, clock, signal)));
  const used = readings.find(({ problem }) => problem === undefined) ?? readings.at(-1);
  return used === undefined ? undefined : { ...aboutResolvers(used, true), check: "dns.forward" };
}

async function aboutProxy({ listen }: DnsConfig, network: Network, { clock, signal }: DoctorContext): Promise<Finding> {
  const host = listen.host === "localhost" || listen.host === "::" ? "127.0.0.1" : listen.host;
  const address = formatHostPort({ host, port: listen.port });
  const query = network.namesToResolve()[0] ?? "localhost.";
  const { problem, responds, tookMs } = await queryResolver(address, query, clock, signal);
  if (responds) return ok("dns.proxy", `the agent's DNS proxy at ${address} responds (${milliseconds(tookMs)})`);
  const cure = "See the agent's readiness and log; while it waits for the name table or a resolver, queries wait too.";
  return fail("dns.proxy", `the agent's DNS proxy at ${address} does not respond to a query: ${problem ?? ""}`, cure);
}
