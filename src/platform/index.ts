// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { readAws } from "./aws.ts";
import { readAzure } from "./azure.ts";
import { readGcp } from "./gcp.ts";
import { createMetadataGet, type MetadataServer } from "./metadata-server.ts";
import type { PlatformConfig } from "./platform-config.ts";
import type { MetadataGet, PlatformFacts } from "./platform-facts.ts";

export type { PlatformConfig } from "./platform-config.ts";
export type { PlatformFacts } from "./platform-facts.ts";

export interface PlatformDeps {
  readonly clock: Clock;
}

/** For all that is asked together. */
const totalMs = 5_000;
const vendorFile = "/sys/class/dmi/id/sys_vendor";

/**
 * Asks the cloud that was named, or the three at once, the first that answers counting. Nothing is asked before it is
 * called, and no failure is more than "unknown".
 */
export async function lookUpPlatform(
  config: PlatformConfig,
  { clock }: PlatformDeps,
  signal: AbortSignal,
): Promise<PlatformFacts | undefined> {
  using limit = deadline(clock, totalMs, signal);
  const ask = (server: MetadataServer): MetadataGet => createMetadataGet(server, clock, limit.signal);
  const aws = (): Promise<PlatformFacts | undefined> => readAws(ask(awsServer(config)));
  const gcp = (): Promise<PlatformFacts | undefined> => readGcp(ask(gcpServer(config)));
  const azure = (): Promise<PlatformFacts | undefined> => readAzure(ask(azureServer));
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

/** The first that is known; undefined when all have ended without knowing. */
async function firstKnown(answers: readonly Promise<PlatformFacts | undefined>[]): Promise<PlatformFacts | undefined> {
  const known = answers.map(async (answer) => (await answer) ?? Promise.reject(new Error("unknown")));
  return await Promise.any(known).catch(() => undefined);
}
