// SPDX-License-Identifier: Apache-2.0
// The names that suites ask for, as their programs and the control plane know them.

export const services = 1_000;

export function hostOf(index: number): string {
  return `s${String(index)}.ns.svc.cluster.local`;
}

/** Every service has another one, so that a wrong response is seen. */
export function addressOf(index: number): string {
  return `10.96.${String(index >> 8)}.${String(index & 255)}`;
}

/** Where the resolver listens: agents send to port 53 of what resolv.conf names. */
export const resolver = { host: "127.18.0.53", port: 53 } as const;

/** Of all names that are forwarded. */
export const forwardedAddress = "192.0.2.1";
