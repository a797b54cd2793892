// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../lib/async/backoff.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { isJsonObject, objectsOf, parseJsonObject, textsOf } from "../lib/json.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { requestHttp } from "../lib/net/http-client.ts";
import { createTlsClient, type TlsClient, type TlsClientPolicy } from "../lib/net/tls-client.ts";
import { formatPem } from "../lib/pki/pem.ts";
import { ResponseError } from "./errors.ts";
import { readRoots } from "./read-certificate.ts";
import type { CertDeps } from "./types.ts";

export interface SpiffeBundlesOptions {
  /** Limits on TLS with the endpoints. */
  readonly policy: TlsClientPolicy;
  /** Takes the roots of an endpoint when they have changed. */
  readonly publish: (url: string, rootsPem: string) => void;
}

const timeoutMs = 10_000;
/** The wait where the bundle names none. Source: SPIFFE Trust Domain and Bundle, 4.1.2 */
const defaultRefreshMs = 300_000;
/** A bundle that asks for less or more is read at these. */
const leastRefreshMs = 60_000;
const longestRefreshMs = 3_600_000;
const retryPolicy = { firstMs: 2_000, factor: 2, maxMs: 60_000 };

/**
 * Reads SPIFFE bundles from their endpoints (`https_web`: verified with the system's roots) and reads them again as
 * often as they ask for. The requests carry no credentials and follow no redirect. While an endpoint fails, its last
 * roots stay.
 * Source: SPIFFE Federation, 5.2.1; Istio's API, MeshConfig.CertificateData.spiffe_bundle_url
 */
export class SpiffeBundles implements AsyncDisposable {
  readonly #options: SpiffeBundlesOptions;
  readonly #deps: CertDeps;
  readonly #followed = new Map<string, AsyncDisposable>();

  constructor(options: SpiffeBundlesOptions, deps: CertDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Follows these endpoints and no others. */
  async follow(urls: readonly string[]): Promise<void> {
    for (const url of urls) {
      if (this.#followed.has(url)) continue;
      this.#followed.set(
        url,
        startTask((stop) => this.#follow(url, stop), this.#deps.fail),
      );
    }
    const left = [...this.#followed].filter(([url]) => !urls.includes(url));
    for (const [url] of left) this.#followed.delete(url);
    await Promise.all(left.map(([, task]) => task[Symbol.asyncDispose]()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.follow([]);
  }

  async #follow(url: string, stop: AbortSignal): Promise<void> {
    const { log, clock, random } = this.#deps;
    using outage = new OutageLog(log, clock, { first: "SPIFFE bundle read", recovered: "SPIFFE bundle read again" });
    const { hostname: serverName } = new URL(url);
    const { policy } = this.#options;
    const tls = createTlsClient({ serverName, roots: { kind: "system" }, client: undefined, policy });
    const isStopped = (): boolean => stop.aborted;
    let last: string | undefined;
    for (let failures = 0; !isStopped(); ) {
      let waitMs: number;
      try {
        const { rootsPem, refreshMs } = await this.#read(url, tls, stop);
        failures = 0;
        outage.works({ url });
        if (rootsPem !== last) this.#options.publish(url, rootsPem);
        last = rootsPem;
        waitMs = refreshMs * (0.9 + 0.1 * random());
      } catch (error) {
        if (isStopped()) return;
        const message = "SPIFFE bundle cannot be read; keeping its previous roots";
        outage.failed({ level: "warn", message, fields: { url, error: describeError(error) } });
        waitMs = backoffMs(retryPolicy, failures++, random(), retryPolicy.firstMs / 2);
      }
      await clock.delay(waitMs, stop).catch(() => undefined);
    }
  }

  async #read(url: string, client: TlsClient, stop: AbortSignal): Promise<SpiffeBundle> {
    const { clock, budgets } = this.#deps;
    const tls = await client.options(clock.now());
    const limit = budgets.of("spiffe-bundle-bytes");
    const response = await requestHttp(
      {
        url: new URL(url),
        headers: { accept: "application/json" },
        deadline: { clock, timeoutMs },
        maxBodyBytes: limit.size,
        connection: () => ({ tls }),
      },
      stop,
    );
    if (response.status !== 200) throw new ResponseError("malformed", `status ${String(response.status)}`);
    const bundle = parseSpiffeBundle(response.text());
    const roots = readRoots(bundle.rootsPem, budgets.of("ca-roots"));
    if (roots.length === 0) throw new ResponseError("malformed", "it has no root certificate that can be parsed");
    return { ...bundle, rootsPem: roots.map(({ pem }) => pem).join("") };
  }
}

interface SpiffeBundle {
  readonly rootsPem: string;
  readonly refreshMs: number;
}

/**
 * The X.509 roots of a bundle document; keys for other uses are left out.
 * @throws ResponseError when it is no bundle, or has no X.509 root
 * Source: SPIFFE Trust Domain and Bundle, 4; SPIFFE X.509-SVID, 6
 */
export function parseSpiffeBundle(text: string): SpiffeBundle {
  const document = parseJsonObject(text);
  if (!isJsonObject(document)) throw new ResponseError("malformed", "it is not a SPIFFE bundle: no JSON object");
  const hint = document["spiffe_refresh_hint"];
  const seconds = typeof hint === "number" && hint > 0 ? hint : defaultRefreshMs / 1_000;
  const certificates = objectsOf(document["keys"])
    .filter(({ use }) => use === "x509-svid")
    .map((key) => textsOf(key["x5c"]));
  if (certificates.length === 0) throw new ResponseError("malformed", "it has no key for x509-svid");
  // one certificate for each key: a longer chain would make roots of what only they have signed
  if (certificates.some(({ length }) => length !== 1)) {
    throw new ResponseError("malformed", "a key for x509-svid must have one certificate in x5c");
  }
  const rootsPem = certificates.flat().map((base64) => formatPem("CERTIFICATE", Buffer.from(base64, "base64")));
  const refreshMs = Math.min(longestRefreshMs, Math.max(leastRefreshMs, seconds * 1_000));
  return { rootsPem: rootsPem.join(""), refreshMs };
}
