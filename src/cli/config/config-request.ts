// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import {
  type AdminTarget,
  ConfigDumpError,
  type DumpSource,
  type Filters,
  findSections,
  openAddress,
  openAdmin,
  openFile,
  type OpenOptions,
  type SectionName,
  sectionNames,
  sections,
} from "../../diagnosis/config-dump/index.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { ipFamily } from "../../lib/net/ip-address.ts";
import { formatHostPort, parseHostPort } from "../../lib/net/host-port.ts";
import { UsageError } from "../command.ts";

/** What the command line asks for. */
export interface ConfigRequest {
  readonly sections: readonly SectionName[];
  readonly filters: Filters;
  readonly verbose: boolean;
  /** Opens what to compare with; undefined without `--diff`. */
  readonly diff: ((options: OpenOptions) => Promise<DumpSource>) | undefined;
}

type FilterValues = Omit<Filters, "port"> & { readonly port: number };

interface RequestValues extends FilterValues {
  readonly address: string;
  readonly file: string;
  readonly diff: string;
  readonly verbose: boolean;
  readonly "envoy-admin": string;
}

/** @throws UsageError */
export function readRequest(
  values: RequestValues,
  { given, positionals }: { readonly given: ReadonlySet<string>; readonly positionals: readonly string[] },
): ConfigRequest {
  const [word, ...more] = positionals;
  const known = [...sectionNames, "all"];
  if (word === undefined) throw usage(`needs one of ${known.join(", ")}`);
  const found = findSections(word);
  if (found === undefined)
    throw usage(`unknown part ${JSON.stringify(word)}${suggestion(word, known)}; known: ${known.join(", ")}`);
  if (more.length > 0) throw usage(`unexpected ${JSON.stringify(more[0])}`);
  assertFilters(found, word, given);
  const sources = ["address", "envoy-admin", "file"].filter((name) => given.has(name));
  if (sources.length > 1) throw usage(`--${sources.join(" and --")} exclude each other`);
  if (ipFamily(values.address) !== 0) {
    throw usage(`--address is the HOST:PORT of an agent; to filter by address use --host ${values.address}`);
  }
  const { fqdn, direction, subset, port, host, type, name, cluster, status } = values;
  return {
    sections: found,
    filters: { fqdn, direction, subset, port, host, type, name, cluster, status },
    verbose: values.verbose,
    diff: values.diff === "" ? undefined : async (options) => await openDiff(values.diff, options),
  };
}

function usage(problem: string): UsageError {
  return new UsageError("config", problem);
}

/** A filter that would have no effect is a mistake. */
function assertFilters(found: readonly SectionName[], word: string, given: ReadonlySet<string>): void {
  const filterNames = new Set(sectionNames.flatMap((name) => [...sections[name].filters]));
  const allowed = new Set<string>(found.flatMap((name) => [...sections[name].filters]));
  for (const name of filterNames) {
    if (!given.has(name) || allowed.has(name)) continue;
    const own = [...allowed].map((one) => `--${one}`).join(", ");
    throw usage(`--${name} does not apply to ${word}${own === "" ? "" : `, which takes ${own}`}`);
  }
}

/**
 * The configuration to show: of a file, of Envoy's admin interface, or of the agent. Where no agent responds at its usual
 * address, Envoy is read directly.
 * @param context note tells the user so
 */
export async function openRequested(
  values: Pick<RequestValues, "address" | "file" | "envoy-admin"> & { readonly url: URL },
  options: OpenOptions,
  { env, note }: { readonly env: Readonly<Record<string, string>>; readonly note: (text: string) => void },
): Promise<DumpSource> {
  if (values.file !== "") return await openFile(values.file, options.mostBytes);
  if (values["envoy-admin"] !== "") return openAdmin(adminTarget(values["envoy-admin"]), options);
  try {
    return await openAddress(values.url, options);
  } catch (error) {
    const isUsual = values.address === "";
    if (!isUsual || !(error instanceof ConfigDumpError) || error.failure === "refused") throw error;
    const { readAdminPort } = await import("../../config/sources/status-port.ts");
    const url = new URL(`http://localhost:${String(await readAdminPort(env))}`);
    note(`${error.message}; reading Envoy's admin interface at ${url.host}`);
    return openAdmin({ url }, options);
  }
}

async function openDiff(target: string, options: OpenOptions): Promise<DumpSource> {
  if (existsSync(target)) return await openFile(target, options.mostBytes);
  const url = urlOf(target);
  return url === undefined ? await openFile(target, options.mostBytes) : await openAddress(url, options);
}

/** @throws UsageError */
function adminTarget(text: string): AdminTarget {
  const url = urlOf(text);
  if (url !== undefined) return { url };
  if (!/[/@]/.test(text))
    throw usage(`--envoy-admin: ${JSON.stringify(text)} is no port, address, URL or path of a socket`);
  return { socketPath: text };
}

/** Of `PORT`, `HOST:PORT` or a URL; undefined for anything else. */
function urlOf(text: string): URL | undefined {
  if (/^https?:\/\//.test(text)) return URL.canParse(text) ? new URL(text) : undefined;
  const parsed = parseHostPort(/^\d+$/.test(text) ? `localhost:${text}` : text);
  return typeof parsed === "string" ? undefined : new URL(`http://${formatHostPort(parsed)}`);
}
