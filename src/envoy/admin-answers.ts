// SPDX-License-Identifier: Apache-2.0
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
  const body = fields(parseJson(text, "GET /server_info"));
  const version = /\/(\d+\.\d+\.\d+[^/]*)\//.exec(textOf(body["version"]))?.[1] ?? "";
  const epoch = fields(body["command_line_options"])["restart_epoch"];
  return { version, state: textOf(body["state"]), restartEpoch: typeof epoch === "number" ? epoch : 0 };
}

/** Reads `/certs`. @throws EnvoyAdminError `malformed` */
export function parseCertificates(text: string): readonly EnvoyCertificates[] {
  const body = fields(parseJson(text, "GET /certs"));
  return listOf(body["certificates"]).map((entry) => ({
    chain: listOf(fields(entry)["cert_chain"]).map(certificateOf),
    roots: listOf(fields(entry)["ca_cert"]).map(certificateOf),
  }));
}

function certificateOf(value: unknown): EnvoyCertificate {
  const entry = fields(value);
  const names = listOf(entry["subject_alt_names"]).map((name) => textOf(fields(name)["uri"]));
  return {
    serial: textOf(entry["serial_number"]).toUpperCase(),
    uris: names.filter((uri) => uri !== ""),
    notAfterMs: Date.parse(textOf(entry["expiration_time"])),
  };
}

function parseJson(text: string, call: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EnvoyAdminError("malformed", call, { cause });
  }
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
