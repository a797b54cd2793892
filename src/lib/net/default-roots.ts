// SPDX-License-Identifier: Apache-2.0
import type { ConnectionOptions } from "node:tls";

/** With it, Node.js does not load its own list of roots, which takes 0.7 MB that most processes have no use for. */
const withoutOwnRoots = "--use-openssl-ca";

let used: Promise<void> | undefined;

interface Connection {
  readonly tls?: ConnectionOptions;
  readonly proxies?: Readonly<Record<string, string>>;
}

/** Whether a connection verifies a server, or a proxy before it, with no roots of its own. */
export function needsDefaultRoots(isTls: boolean, { tls, proxies = {} }: Connection): boolean {
  const hasOwn = tls?.ca !== undefined || tls?.secureContext !== undefined || tls?.rejectUnauthorized === false;
  return (isTls && !hasOwn) || Object.values(proxies).some((proxy) => /^https:/i.test(proxy));
}

/**
 * From then on TLS servers are verified with Node's own roots and those of `NODE_EXTRA_CA_CERTS` where no others are given,
 * as Node does by itself without the launcher's flag.
 */
export function useDefaultRoots(): Promise<void> {
  return (used ??= setDefaultRoots());
}

async function setDefaultRoots(): Promise<void> {
  if (!process.execArgv.includes(withoutOwnRoots)) return;
  const { getCACertificates, setDefaultCACertificates } = await import("node:tls");
  setDefaultCACertificates([...getCACertificates("bundled"), ...getCACertificates("extra")]);
}
