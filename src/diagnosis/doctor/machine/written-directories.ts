// SPDX-License-Identifier: Apache-2.0
import { dirname } from "node:path";
import type { AgentConfig } from "../../../config/index.ts";

/** A directory that the agent writes to. */
export interface WrittenDirectory {
  readonly check: string;
  readonly path: string;
  readonly what: string;
  /** Whether the agent cannot start or serve without it. */
  readonly isNeeded: boolean;
  /** Whether it is made only when there is something to write. */
  readonly isOptional?: boolean;
  /** The free space that it needs. */
  readonly leastBytes: number;
  /** What chooses another one. */
  readonly setting: string;
}

const kib = 1024;
const mib = 1024 * kib;

/** What the agent writes with this configuration, each directory once. Those of sockets are the check `sockets`'. */
export function writtenDirectories(config: AgentConfig): readonly WrittenDirectory[] {
  const all = [...neededDirectories(config), ...helpfulDirectories(config)];
  return all.flatMap((one, index) => {
    const same = all.filter(({ path }) => path === one.path);
    const isFirst = all.findIndex(({ path }) => path === one.path) === index;
    return isFirst ? [{ ...one, what: same.map(({ what }) => what).join(", ") }] : [];
  });
}

function neededDirectories(config: AgentConfig): readonly WrittenDirectory[] {
  const { bootstrap, grpcBootstrap, disableEnvoy, cert, ca, log } = config;
  const targets = log.targets.filter((target) => target !== "stdout" && target !== "stderr");
  const rows: readonly (readonly [string, string | undefined, string, string])[] = [
    [
      "paths.bootstrap",
      bootstrap.kind === "file" || disableEnvoy ? undefined : dirname(bootstrap.path),
      "Envoy's bootstrap",
      "configPath in PROXY_CONFIG",
    ],
    [
      "paths.grpc-bootstrap",
      grpcBootstrap === undefined ? undefined : dirname(grpcBootstrap.path),
      "the bootstrap of gRPC applications",
      "GRPC_XDS_BOOTSTRAP",
    ],
    ["paths.certificates", cert.output?.directory, "certificates", "OUTPUT_CERTS"],
    [
      "paths.embedded-ca",
      ca.kind === "embedded" ? ca.directory : undefined,
      "the embedded CA's root",
      "ATTACHE_EMBEDDED_CA_DIR",
    ],
    ...targets.map((path) => ["paths.log", dirname(path), "the log", "--log_target"] as const),
  ];
  return rows.flatMap(([check, path, what, setting]) =>
    path === undefined ? [] : [{ check, path, what, setting, isNeeded: true, leastBytes: 512 * kib }],
  );
}

/** The agent serves without them, and something is lost. */
function helpfulDirectories({ cert, recorder, xds }: AgentConfig): readonly WrittenDirectory[] {
  const ads = xds.kind === "ads" ? xds : undefined;
  const rows: readonly (Omit<WrittenDirectory, "path" | "isNeeded"> & { readonly path: string | undefined })[] = [
    {
      check: "paths.identity-cache",
      path: cert.cacheDirectory,
      what: "the certificate for the next start",
      setting: "ATTACHE_IDENTITY_CACHE",
      leastBytes: 512 * kib,
    },
    {
      check: "paths.crash-reports",
      path: recorder.directory,
      what: "crash reports",
      setting: "ATTACHE_FLIGHT_RECORDER_DIR",
      leastBytes: 512 * kib,
    },
    {
      check: "paths.xds-cache",
      path: ads?.proxy.cache?.directory,
      what: "the configuration for a start without control plane",
      setting: "ATTACHE_XDS_CACHE",
      leastBytes: 4 * mib,
    },
    {
      check: "paths.wasm",
      path: ads?.wasm?.cacheDirectory,
      what: "Wasm modules",
      setting: "ATTACHE_WASM_CACHE_DIR",
      leastBytes: 4 * mib,
      isOptional: true,
    },
  ];
  return rows.flatMap(({ path, ...row }) => (path === undefined ? [] : [{ ...row, path, isNeeded: false }]));
}
