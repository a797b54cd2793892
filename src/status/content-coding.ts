// SPDX-License-Identifier: Apache-2.0
import type { Transform } from "node:stream";
import { constants, createGzip, createZstdCompress } from "node:zlib";

export type ContentCoding = "zstd" | "gzip";

/**
 * The coding with the highest weight; zstd where both have the same. Undefined means uncompressed.
 * @param header `Accept-Encoding` as received
 * Source: RFC 9110 section 12.5.3; the preference for zstd as observed with pilot-agent
 */
export function chooseCoding(header: string | undefined): ContentCoding | undefined {
  const weights = new Map<string, number>();
  for (const item of (header ?? "").split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    weights.set(name, weight === undefined ? 1 : Number(weight));
  }
  const zstd = weights.get("zstd") ?? 0;
  const gzip = weights.get("gzip") ?? 0;
  if (!(zstd > 0 || gzip > 0)) return undefined;
  return zstd >= gzip ? "zstd" : "gzip";
}

/** Compresses outside of the event loop, for speed rather than size. */
export function createEncoder(coding: ContentCoding): Transform {
  if (coding === "gzip") return createGzip({ level: 1 });
  return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}
