// SPDX-License-Identifier: Apache-2.0
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

/** Source: istio/api security/v1alpha1/ca.proto, IstioCertificateRequest: csr 1, validity_duration 3, metadata 4 */
export function encodeRequest(csrPem: string, ttlMs: number, certSigner: string): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(10).string(csrPem);
  writer.uint32(24).int64(Math.ceil(ttlMs / 1_000));
  writer.uint32(34).fork();
  writer.uint32(10).fork();
  writer.uint32(10).string("CertSigner");
  writer.uint32(18).fork().uint32(26).string(certSigner).join();
  writer.join().join();
  return writer.finish();
}

/** @returns the response's `cert_chain`; undefined when the bytes are not such a message */
export function decodeChain(bytes: Uint8Array): readonly string[] | undefined {
  try {
    const chain: string[] = [];
    for (const [field, reader] of fieldsOf(new BinaryReader(bytes))) {
      if (field === 1) chain.push(reader.string());
    }
    return chain;
  } catch {
    return undefined;
  }
}

/** @returns the delay of a `google.rpc.RetryInfo` within a serialised `google.rpc.Status`; 0 when there is none */
export function decodeRetryDelayMs(status: Uint8Array): number {
  try {
    let delayMs = 0;
    for (const [field, reader] of fieldsOf(new BinaryReader(status))) {
      if (field === 3) delayMs = Math.max(delayMs, retryInfoMs(reader.bytes()));
    }
    return delayMs;
  } catch {
    return 0;
  }
}

function retryInfoMs(any: Uint8Array): number {
  let typeUrl = "";
  let value = new Uint8Array();
  for (const [field, reader] of fieldsOf(new BinaryReader(any))) {
    if (field === 1) typeUrl = reader.string();
    else if (field === 2) value = Uint8Array.from(reader.bytes());
  }
  if (!typeUrl.endsWith("/google.rpc.RetryInfo")) return 0;
  let ms = 0;
  for (const [field, reader] of fieldsOf(new BinaryReader(value))) {
    if (field !== 1) continue;
    for (const [part, inner] of fieldsOf(new BinaryReader(reader.bytes()))) {
      if (part === 1) ms += Number(inner.int64()) * 1_000;
      else if (part === 2) ms += inner.int32() / 1e6;
    }
  }
  return Math.max(0, ms);
}

/** The fields of a message, each with the reader before its value; what is not read is skipped. */
function* fieldsOf(reader: BinaryReader): Generator<[number, BinaryReader]> {
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const before = reader.pos;
    yield [field, reader];
    if (reader.pos === before) reader.skip(type, field);
  }
}
