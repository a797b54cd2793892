// SPDX-License-Identifier: Apache-2.0
import { freePorts } from "./free-ports.ts";

/** Variables of an agent with DNS capture, on a port of its own. */
export async function dnsEnvironment(): Promise<{ ISTIO_META_DNS_CAPTURE: string; DNS_PROXY_ADDR: string }> {
  const [port = 0] = await freePorts(1);
  return { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${String(port)}` };
}
