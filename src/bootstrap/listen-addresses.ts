// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, objectOf, objectsOf, textOf } from "../lib/json.ts";

/** Where Envoy listens over TCP from its start on. */
export interface StaticAddresses {
  readonly listeners: readonly TcpAddress[];
  /** Undefined for a Unix socket, and for a port of the system's choice. */
  readonly admin: TcpAddress | undefined;
}

interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** The addresses of the static listeners and of the admin interface. Sockets of other kinds are left out. */
export function staticAddresses(document: JsonObject): StaticAddresses {
  const listeners = objectsOf(objectOf(document["static_resources"])["listeners"]).flatMap((listener) => [
    tcpAddress(listener["address"]),
    ...objectsOf(listener["additional_addresses"]).map((additional) => tcpAddress(additional["address"])),
  ]);
  return {
    listeners: listeners.filter((address) => address !== undefined),
    admin: tcpAddress(objectOf(document["admin"])["address"]),
  };
}

function tcpAddress(value: JsonValue | undefined): TcpAddress | undefined {
  const socket = objectOf(objectOf(value)["socket_address"]);
  const port = socket["port_value"];
  if (typeof port !== "number" || port === 0 || socket["protocol"] === "UDP") return undefined;
  return { host: textOf(socket["address"]), port };
}
