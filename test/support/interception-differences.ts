// SPDX-License-Identifier: Apache-2.0
import type { RecordedCase } from "./recorded-interception.ts";

/*
 * The recorded rules, changed where this product differs on purpose. docs/differences.md has the reasons; each function
 * is one line of it.
 */

type Lines = readonly string[];
type Backend = "iptables" | "nftables";

/**
 * What the product is expected to make of a recorded case, in the form of the recorded lines.
 * @param lines the recorded lines
 */
export function expectedRules(
  recorded: RecordedCase,
  backend: Backend,
  lines: Lines = recorded.section(backend === "iptables" ? "dry run" : "nftables transaction"),
): Lines {
  const capturesDns = lines.some((line) => /15053/.test(line));
  const proxyPort = recorded.env["ENVOY_PORT"];
  let expected = lines;
  if (capturesDns) expected = expected.map(excludeDnsPortForGroups);
  if (hasSeveralOwners(recorded)) expected = oneOwnerBlock(expected, backend);
  if (proxyPort !== undefined) expected = expected.map((line) => line.replace(/([: ])15001$/, `$1${proxyPort}`));
  return expected;
}

/** The reference excludes port 53 for users only. */
function excludeDnsPortForGroups(line: string): string {
  return line
    .replace("! --dport 15008 -m owner --gid-owner", "-m multiport ! --dports 53,15008 -m owner --gid-owner")
    .replace("dport != 15008 skgid", "dport != { 53, 15008 } skgid");
}

function hasSeveralOwners({ args }: RecordedCase): boolean {
  return args.some((word, index) => word.includes(",") && args[index - 1] === "-u");
}

/** In the reference, the first "not this owner" hides the rules for connections of the owners after it to themselves. */
function oneOwnerBlock(lines: Lines, backend: Backend): Lines {
  const chain = backend === "iptables" ? "-A ISTIO_OUTPUT " : "add rule inet istio-proxy-nat istio-output ";
  const isOwnerRule = (line: string): boolean => line.startsWith(chain) && /owner|skuid|skgid/.test(line);
  const block = lines.filter(isOwnerRule);
  const selfCalls = block.filter((line) => /ISTIO_IN_REDIRECT|istio-in-redirect/.test(line));
  const others = block.filter((line) => /! --[ug]id-owner|sk[ug]id !=/.test(line));
  const own = block.filter((line) => !selfCalls.includes(line) && !others.includes(line));
  const owners = others.map((line) => /-m owner ! --[ug]id-owner \d+|sk[ug]id != \d+/.exec(line)?.[0] ?? "");
  const [first] = others;
  const combined = first === undefined ? [] : [first.replace(owners[0] ?? "", owners.join(" "))];
  const start = lines.findIndex(isOwnerRule);
  const rest = lines.filter((line) => !isOwnerRule(line));
  return [...rest.slice(0, start), ...selfCalls, ...combined, ...own, ...rest.slice(start)];
}
