// SPDX-License-Identifier: Apache-2.0
// What the user's own bootstrap, or the parts of it in an override, say about Envoy.
import {
  bothExpected,
  type EnvoyAdminAddress,
  type ExpectedUpdates,
  findAdmin,
  findExpectedUpdates,
} from "../../model/bootstrap-facts.ts";
import { DocumentLimitError, type JsonObject, isJsonObject, toJsonValue } from "../../lib/json.ts";
import type { DiscoverySource } from "../agent-config.ts";
import type { ConfigInput } from "../sources/config-input.ts";
import type { Sources } from "../sources/sources.ts";
import { bootstrapOverride } from "./bootstrap-override.ts";
import { envoyUser } from "./trust-section.ts";

/** The parts of Envoy's bootstrap that come from the user. */
export interface OwnBootstrap {
  readonly override: JsonObject | undefined;
  /** Instead of the generated bootstrap. */
  readonly custom: CustomBootstrap | undefined;
  /** Of the bootstrap that results. */
  readonly admin: EnvoyAdminAddress;
  readonly expects: ExpectedUpdates;
}

export interface CustomBootstrap {
  readonly path: string;
  /** A text says why it cannot be parsed; empty: it cannot be read. */
  readonly document: JsonObject | string;
  /** Whether it has no admin interface, so that the agent adds one. */
  readonly lacksAdmin: boolean;
}

/** The longest path of a Unix socket, without its final zero byte. */
const longestSocketPath = 107;

/** Reads the override and the custom bootstrap, and finds where Envoy's admin interface is and what Envoy receives. */
export function ownBootstrap(sources: Sources, discovery: DiscoverySource, localHost: string): OwnBootstrap {
  const override = bootstrapOverride(sources);
  const overrides = override === undefined ? [] : [override];
  const customPath = sources.proxy.customConfigFile ?? "";
  const usual = usualAdmin(sources, discovery, localHost);
  if (customPath === "") {
    const admin = usableAdmin(sources, "ISTIO_BOOTSTRAP_OVERRIDE", overrides, usual) ?? usual;
    const expects = overrides.length === 0 ? bothExpected : findExpectedUpdates(overrides, true);
    return { override, custom: undefined, admin, expects };
  }
  const document = readCustom(sources, customPath);
  if (typeof document === "string") {
    const custom = { path: customPath, document, lacksAdmin: false };
    const tcp = { host: localHost, port: sources.proxy.proxyAdminPort };
    return { override, custom, admin: tcp, expects: { kind: "unknown" } };
  }
  const documents = [document, ...overrides];
  const admin = usableAdmin(sources, sources.fieldSource("customConfigFile"), documents);
  const added = ownSocket(sources) ?? usual;
  if (admin === undefined) warnOfAddedAdmin(sources, customPath, added);
  const custom = { path: customPath, document, lacksAdmin: admin === undefined };
  return { override, custom, admin: admin ?? added, expects: findExpectedUpdates(documents, false) };
}

/** Undefined where the documents have none; one whose address is not fixed is a problem. */
function usableAdmin(
  { findings }: Sources,
  source: string,
  documents: readonly JsonObject[],
  generated?: EnvoyAdminAddress,
): EnvoyAdminAddress | undefined {
  const found = findAdmin(documents, generated);
  if (found.kind === "unusable") {
    findings.problem(
      source,
      "Envoy's admin interface has no fixed address, so readiness and drain cannot use it; give it an IP address and a port above 0, or a Unix socket (pipe)",
    );
  }
  return found.kind === "found" ? found.address : undefined;
}

function warnOfAddedAdmin({ findings, fieldSource }: Sources, path: string, admin: EnvoyAdminAddress): void {
  const place = "socketPath" in admin ? `the Unix socket ${admin.socketPath}` : `port ${String(admin.port)}`;
  findings.warn(
    fieldSource("customConfigFile"),
    `${path} has no admin interface, which readiness and drain need; the agent adds one at ${place}`,
  );
}

/** The admin interface of a bootstrap that the agent generates. `ATTACHE_ENVOY_ADMIN` */
function usualAdmin(sources: Sources, discovery: DiscoverySource, localHost: string): EnvoyAdminAddress {
  const { env, proxy, fieldSource, findings } = sources;
  const tcp = { host: localHost, port: proxy.proxyAdminPort };
  const mode = env.string("ATTACHE_ENVOY_ADMIN");
  if (mode !== "" && mode !== "tcp" && mode !== "unix") {
    findings.problem("ATTACHE_ENVOY_ADMIN", `unknown kind ${JSON.stringify(mode)}; use tcp or unix`);
  }
  const socket = ownSocket(sources);
  if (mode === "unix" && socket === undefined) {
    findings.problem(
      "ATTACHE_ENVOY_ADMIN",
      `the socket ${adminPath(sources)} cannot be used: its path is too long, or Envoy runs as another user, for DNS on port 53; use tcp`,
    );
  }
  const hasPort = !fieldSource("proxyAdminPort").startsWith("default,");
  const isUnix = mode === "unix" || (mode === "" && discovery.kind === "files" && !hasPort);
  return isUnix ? (socket ?? tcp) : tcp;
}

function adminPath({ proxy }: Sources): string {
  return `${proxy.configPath}/admin.sock`;
}

/** A socket for Envoy's user alone; undefined where Envoy's user may not write there, or the path is too long. */
function ownSocket(sources: Sources): EnvoyAdminAddress | undefined {
  const socketPath = adminPath(sources);
  const { env, input } = sources;
  const isOtherUser = envoyUser(env.string("DNS_PROXY_ADDR"), input.system.uid) !== undefined;
  return isOtherUser || Buffer.byteLength(socketPath) > longestSocketPath ? undefined : { socketPath, mode: 0o600 };
}

function readCustom({ input, fieldSource, findings }: Sources, path: string): JsonObject | string {
  const file = input.readFile(path);
  if (file.kind === "text") return documentIn(file.text, input.parseDocument);
  findings.problem(fieldSource("customConfigFile"), `${path} cannot be read; Envoy needs this file as its bootstrap`);
  return "";
}

/** What is wrong with a text that is no object in YAML or JSON, such as a bootstrap in protobuf's own forms. */
function documentIn(text: string, parse: ConfigInput["parseDocument"]): JsonObject | string {
  try {
    const value = toJsonValue(parse(text));
    return isJsonObject(value) ? value : "is neither YAML nor JSON";
  } catch (error) {
    return error instanceof DocumentLimitError ? error.message : "is neither YAML nor JSON";
  }
}
