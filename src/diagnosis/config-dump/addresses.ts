// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, type JsonValue, objectOf, textOf } from "../../lib/json.ts";

/** An `envoy.config.core.v3.Address`. */
export interface EnvoyAddress {
  /** An IP address, the path of a socket, `envoy://LISTENER/ID`; empty when there is none. */
  readonly host: string;
  /** 0 without a port. */
  readonly port: number;
  readonly kind: "socket" | "pipe" | "internal" | "none";
}

export function readAddress(value: JsonValue | undefined): EnvoyAddress {
  const { socketAddress, pipe, envoyInternalAddress: internal } = objectOf(value);
  if (isJsonObject(socketAddress)) {
    return { host: textOf(socketAddress["address"]), port: portOf(socketAddress), kind: "socket" };
  }
  if (isJsonObject(pipe)) return { host: textOf(pipe["path"]), port: 0, kind: "pipe" };
  if (isJsonObject(internal) && typeof internal["serverListenerName"] === "string") {
    const host = `envoy://${internal["serverListenerName"]}/${textOf(internal["endpointId"])}`;
    return { host, port: 0, kind: "internal" };
  }
  return { host: "", port: 0, kind: "none" };
}

function portOf({ portValue }: JsonObject): number {
  return typeof portValue === "number" ? portValue : 0;
}
