// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, listOf, objectOf, parseJson, textOf } from "../lib/json.ts";
import { EnvoyAdminError } from "./envoy-errors.ts";

export interface EnvoyServerInfo {
  /** Such as `1.40.0`; empty when Envoy names none. */
  readonly version: string;
  readonly state: string;
  readonly restartEpoch: number;
}

/** A certificate that Envoy has loaded, leaf or root. */
export interface EnvoyCertificate {
  /** Upper-case hexadecimal. */
  readonly serial: string;
  readonly uris: readonly string[];
  readonly notAfterMs: number;
}

/** One TLS context's certificates. */
export interface EnvoyCertificates {
  readonly chain: readonly EnvoyCertificate[];
  readonly roots: readonly EnvoyCertificate[];
}

/** Reads `/server_info`. @throws EnvoyAdminError `malformed` */
export function parseServerInfo(text: string): EnvoyServerInfo {
  const body = parseBody(text, "GET /server_info");
  const version = /\/(\d+\.\d+\.\d+[^/]*)\//.exec(textOf(body["version"]))?.[1] ?? "";
  const epoch = objectOf(body["command_line_options"])["restart_epoch"];
  return { version, state: textOf(body["state"]), restartEpoch: typeof epoch === "number" ? epoch : 0 };
}

/** Reads `/certs`. @throws EnvoyAdminError `malformed` */
export function parseCertificates(text: string): readonly EnvoyCertificates[] {
  const body = parseBody(text, "GET /certs");
  return listOf(body["certificates"]).map((entry) => ({
    chain: listOf(objectOf(entry)["cert_chain"]).map(certificateOf),
    roots: listOf(objectOf(entry)["ca_cert"]).map(certificateOf),
  }));
}

function certificateOf(value: JsonValue): EnvoyCertificate {
  const entry = objectOf(value);
  const names = listOf(entry["subject_alt_names"]).map((name) => textOf(objectOf(name)["uri"]));
  return {
    serial: textOf(entry["serial_number"]).toUpperCase(),
    uris: names.filter((uri) => uri !== ""),
    notAfterMs: Date.parse(textOf(entry["expiration_time"])),
  };
}

function parseBody(text: string, call: string): JsonObject {
  try {
    return objectOf(parseJson(text));
  } catch (cause) {
    throw new EnvoyAdminError("malformed", call, { cause });
  }
}
