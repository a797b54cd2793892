// SPDX-License-Identifier: Apache-2.0

/** Where something listens. IPv6 without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** As in a URL: IPv6 in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${String(port)}`;
}
