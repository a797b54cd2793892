// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../../lib/async/clock.ts";
import { formatHostPort, type HostPort } from "../../../lib/net/host-port.ts";
import { requestHttp } from "../../../lib/net/http-client.ts";
import { readTlsClientOptions, type TlsClientConfig } from "../../../lib/net/tls-client.ts";

/** How far this machine's clock is ahead of a server's; negative: behind. */
export interface ClockDifference {
  readonly server: string;
  readonly aheadMs: number;
}

const timeoutMs = 700;
/** The header has whole seconds: the time is half a second later on average. Source: RFC 9110 section 6.6.1 */
const halfSecondMs = 500;

/** Compares the clock with the `Date` of a server's response, whatever the response is. Sends no credential. */
export async function readServerTime(
  { host, port }: HostPort,
  tls: TlsClientConfig | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<ClockDifference | undefined> {
  const scheme = tls === undefined ? "http" : "https";
  const startMs = clock.monotonicMs();
  try {
    const options = tls === undefined ? undefined : await readTlsClientOptions(tls, clock.now());
    const { headers } = await requestHttp(
      {
        url: { scheme, host, port, path: "/version" },
        method: "HEAD",
        deadline: { clock, timeoutMs },
        ...(options === undefined ? {} : { connection: () => ({ tls: options }) }),
      },
      signal,
    );
    const theirsMs = Date.parse(headers.date ?? "");
    if (Number.isNaN(theirsMs)) return undefined;
    const middleMs = clock.now() - (clock.monotonicMs() - startMs) / 2;
    return { server: `${scheme}://${formatHostPort({ host, port })}`, aheadMs: middleMs - theirsMs - halfSecondMs };
  } catch {
    // That it cannot be reached is reported by the check that needs it.
    return undefined;
  }
}
