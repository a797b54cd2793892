// SPDX-License-Identifier: Apache-2.0
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

/** What of an `IstioCertificateRequest` the embedded CA looks at. */
export interface CertificateRequest {
  readonly csrPem: string;
  readonly ttlMs: number;
}

/** @throws Error when the bytes are not such a message */
export function parseCertificateRequest(bytes: Uint8Array): CertificateRequest {
  const reader = new BinaryReader(bytes);
  let csrPem = "";
  let ttlMs = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) csrPem = reader.string();
    else if (field === 3) ttlMs = Number(reader.int64()) * 1_000;
    else reader.skip(type, field);
  }
  return { csrPem, ttlMs };
}

/** An `IstioCertificateResponse`. */
export function renderCertificateResponse(chain: readonly string[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const element of chain) writer.uint32(10).string(element);
  return writer.finish();
}
