// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import type { ConfigInput, FileContent } from "../../src/config/sources/config-input.ts";
import { loadYamlParser } from "../../src/config/sources/documents.ts";
import { loadMeshFileCheck } from "../../src/config/sources/read-config-input.ts";

const checkMeshFile = await loadMeshFileCheck();
const parseDocument = await loadYamlParser();
const folder = join(import.meta.dirname, "../parity/cases");

/** A recorded case, as far as configuration is concerned. */
export interface ParityCase {
  readonly name: string;
  readonly spec: {
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly files?: Readonly<Record<string, unknown>>;
    readonly network?: readonly {
      readonly name: string;
      readonly addresses: readonly string[];
      readonly down?: boolean;
    }[];
    readonly layout?: string;
    readonly until?: unknown;
  };
}

/** The recorded cases of `proxy`. */
export function readProxyCases(): readonly ParityCase[] {
  return readdirSync(folder)
    .sort()
    .map((name) => ({
      name,
      spec: JSON.parse(readFileSync(join(folder, name, "case.json"), "utf8")) as ParityCase["spec"],
    }))
    .filter(({ spec }) => spec.args[0] === "proxy");
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `${value.join("\n")}\n`;
  if (typeof value === "object" && value !== null && "json" in value) return JSON.stringify(value.json);
  return undefined;
}

/** The input that the case describes, on a machine of its own. */
export function inputOf({ spec }: ParityCase): ConfigInput {
  const files = new Map<string, string>();
  if (spec.layout !== "none") {
    files.set("var/run/secrets/istio/root-cert.pem", "root");
    files.set("var/run/secrets/tokens/istio-token", "token");
  }
  for (const [path, value] of Object.entries(spec.files ?? {})) {
    const text = textOf(value);
    if (text !== undefined) files.set(normalize(path), text);
  }
  const network = spec.network ?? [{ name: "eth0", addresses: ["10.1.2.3"] }];
  return testInput({
    args: spec.args.slice(1),
    env: { CLOUD_PLATFORM: "none", ...spec.env },
    files,
    interfaces: network
      .filter(({ down }) => down !== true)
      .map(({ name, addresses }) => ({ name, loopback: false, addresses })),
  });
}

export interface TestInput {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** By normalised path. */
  readonly files?: ReadonlyMap<string, string>;
  readonly interfaces?: ConfigInput["system"]["interfaces"];
  readonly system?: Partial<ConfigInput["system"]>;
}

/** A plain pod's input; the root certificates are the system's unless files say otherwise. */
export function testInput({ args = [], env = {}, files = new Map(), interfaces, system }: TestInput): ConfigInput {
  const readFile = (path: string): FileContent => {
    const text = files.get(normalize(path));
    return text === undefined ? { kind: "absent" } : { kind: "text", text };
  };
  return {
    args,
    env,
    readFile,
    parseDocument,
    checkMeshFile,
    system: {
      directory: "/work",
      interfaces: interfaces ?? [{ name: "eth0", loopback: false, addresses: ["10.1.2.3"] }],
      cpuCount: 2,
      uid: 1337,
      gid: 1337,
      istioVersion: "1.32.0",
      servedSockets: new Set(),
      resolvedHosts: new Map(),
      searchDomains: [],
      ...system,
    },
  };
}

/** Identity and roots that make an otherwise empty input valid. */
export const podEnv: Readonly<Record<string, string>> = {
  POD_NAME: "web-1",
  POD_NAMESPACE: "shop",
  INSTANCE_IP: "10.1.2.3",
  SERVICE_ACCOUNT: "web",
  CA_ROOT_CA: "SYSTEM",
  XDS_ROOT_CA: "SYSTEM",
  CLOUD_PLATFORM: "none",
  ISTIO_CPU_LIMIT: "2",
};
