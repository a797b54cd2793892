// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { deadline } from "../lib/async/clock.ts";
import { type PlatformFacts, readAws, readAzure, readGcp } from "./clouds.ts";
import { createMetadataGet, type MetadataDeps, type MetadataGet, type MetadataServer } from "./metadata-server.ts";

/** Which cloud's metadata server knows the machine. */
export interface PlatformConfig {
  /** `none` sends no request; `detect` uses the first cloud that responds. */
  readonly kind: "detect" | "aws" | "azure" | "gcp" | "none";
  /** Whether Envoy's start waits for the node's locality from the metadata server. */
  readonly localityNeeded: boolean;
  readonly waitMs: number;
  /** Host, or host and port. `GCE_METADATA_HOST` */
  readonly gceMetadataHost: string;
  /** The pod has an IPv6 address: use the servers' IPv6 addresses, if any. */
  readonly ipv6: boolean;
}

/** For all requests together. */
const totalMs = 5_000;
const vendorFile = "/sys/class/dmi/id/sys_vendor";

/**
 * Queries the metadata server of the configured cloud, or of all three at once: the first response is used.
 * @returns undefined when no server responds in time
 */
export async function lookUpPlatform(
  config: PlatformConfig,
  deps: MetadataDeps,
  signal: AbortSignal,
): Promise<PlatformFacts | undefined> {
  using limit = deadline(deps.clock, totalMs, signal);
  const query = (server: MetadataServer): MetadataGet => createMetadataGet(server, deps, limit.signal);
  const aws = (): Promise<PlatformFacts | undefined> => readAws(query(awsServer(config)));
  const gcp = (): Promise<PlatformFacts | undefined> => readGcp(query(gcpServer(config)));
  const azure = (): Promise<PlatformFacts | undefined> => readAzure(query(azureServer));
  switch (config.kind) {
    case "none":
      return undefined;
    case "aws":
      return await aws();
    case "gcp":
      return await gcp();
    case "azure":
      return await azure();
    case "detect":
      return await firstKnown([aws(), gcp(), isAzure().then((there) => (there ? azure() : undefined))]);
  }
}

function awsServer({ ipv6 }: PlatformConfig): MetadataServer {
  return { baseUrl: ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254", timeoutPerCallMs: 100 };
}

function gcpServer({ gceMetadataHost }: PlatformConfig): MetadataServer {
  return {
    baseUrl: `http://${gceMetadataHost}`,
    timeoutPerCallMs: totalMs,
    responseHeader: ["metadata-flavor", "Google"],
  };
}

const azureServer: MetadataServer = { baseUrl: "http://169.254.169.254", timeoutPerCallMs: totalMs };

async function isAzure(): Promise<boolean> {
  const vendor = await readFile(vendorFile, "utf8").catch(() => "");
  return vendor.includes("Microsoft Corporation");
}

/** The first result that is not undefined. */
async function firstKnown(results: readonly Promise<PlatformFacts | undefined>[]): Promise<PlatformFacts | undefined> {
  const known = results.map(async (result) => (await result) ?? Promise.reject(new Error("unknown")));
  return await Promise.any(known).catch(() => undefined);
}
