// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { type Clock, DeadlineError, deadline } from "../../lib/async/clock.ts";
import { Semaphore } from "../../lib/async/semaphore.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { HttpError } from "../../lib/net/http-client.ts";
import { sha256Hex } from "../../lib/content-hash.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import type { RemoteModule } from "./extension.ts";
import { BlockedAddresses, fetchHttp, type HttpFetchOptions, HttpStatusError } from "./http-fetch.ts";
import { ModuleCache } from "./module-cache.ts";
import { fetchImage, parseImageReference } from "./oci.ts";
import { parsePullSecret } from "./registry-auth.ts";
import { NoModuleError, unpackModule } from "./unpack.ts";
import type { WasmConfig } from "../xds-config.ts";

export interface FetcherDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: Pick<XdsMetrics, "wasmCacheEntries" | "wasmCacheLookups" | "wasmFetches">;
}

const retryPolicy = { firstMs: 500, factor: 2, maxMs: 60_000 };

/** The step of a fetch that failed; `fetch_failure`: the download is not a module. Source: Istio's agent, observed */
export type FailedFetch = "download_failure" | "manifest_failure" | "checksum_mismatched" | "fetch_failure";

interface WasmFetchFailure {
  /** A retry would fail in the same way. */
  readonly isPermanent: boolean;
  /** Undefined when nothing was requested: such a failure is not counted. */
  readonly result?: FailedFetch | undefined;
  readonly cause?: unknown;
}

/** A module could not be fetched. */
export class WasmFetchError extends AgentError {
  readonly code = "AGENT_WASM_FETCH";
  readonly url: string;
  readonly isPermanent: boolean;
  readonly result: FailedFetch | undefined;
  constructor(url: string, problem: string, { isPermanent, result, cause }: WasmFetchFailure) {
    super(`fetch Wasm module ${url}: ${problem}`, { cause });
    this.url = url;
    this.isPermanent = isPermanent;
    this.result = result;
  }
}

/** Gets modules from the cache on disk, or downloads them. */
export class ModuleFetcher {
  readonly cache: ModuleCache;
  readonly #config: WasmConfig;
  readonly #deps: FetcherDeps;
  readonly #options: HttpFetchOptions;
  /** Modules in memory would not fit beside each other: one is fetched at a time. */
  readonly #oneAtATime = new Semaphore(1);
  /** By what is fetched. */
  readonly #fetching = new Map<string, Promise<string>>();

  constructor(config: WasmConfig, deps: FetcherDeps) {
    this.#config = config;
    this.#deps = deps;
    this.cache = new ModuleCache(config, deps);
    const { insecureRegistries: insecure } = config;
    this.#options = {
      blocked: new BlockedAddresses(config.blockedCidrs),
      isInsecure: ({ host, hostname }) => insecure.has("*") || insecure.has(host) || insecure.has(hostname),
      maxBytes: config.maxModuleBytes,
      proxies: config.proxies,
    };
  }

  /** @returns the path of the module's file. @throws WasmFetchError, or the signal's reason */
  async fetch(module: RemoteModule, signal: AbortSignal): Promise<string> {
    const hit = await this.#find(module);
    this.#deps.metrics.wasmCacheLookups.inc(String(hit !== undefined));
    if (hit !== undefined) return hit;
    try {
      return await this.#fetchShared(module, signal);
    } catch (error) {
      if (error instanceof WasmFetchError && error.result !== undefined) {
        this.#deps.metrics.wasmFetches.inc(error.result);
      }
      throw error;
    }
  }

  /** Equal modules share a fetch; when its caller gives it up, the next one starts again. */
  async #fetchShared(module: RemoteModule, signal: AbortSignal): Promise<string> {
    const key = JSON.stringify(module);
    for (;;) {
      const other = this.#fetching.get(key);
      if (other === undefined) break;
      try {
        return await orAborted(other, signal);
      } catch (error) {
        if (signal.aborted || error instanceof WasmFetchError) throw error;
      }
    }
    const fetching = this.#fetch(module, signal);
    this.#fetching.set(key, fetching);
    try {
      return await fetching;
    } finally {
      this.#fetching.delete(key);
    }
  }

  async #fetch(module: RemoteModule, signal: AbortSignal): Promise<string> {
    using _place = await this.#oneAtATime.acquire(signal);
    using limit = deadline(this.#deps.clock, module.timeoutMs, signal);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#fetchOnce(module, limit.signal);
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(module.url, error, "download_failure");
        if (failure.isPermanent || attempt + 1 >= this.#config.maxAttempts || limit.signal.aborted) throw failure;
        const waitMs = backoffMs(retryPolicy, attempt, this.#deps.random(), retryPolicy.firstMs / 2);
        try {
          await this.#deps.clock.delay(waitMs, limit.signal);
        } catch {
          throw failure;
        }
      }
    }
  }

  async #find(module: RemoteModule): Promise<string | undefined> {
    const { url, sha256 } = module;
    const name = moduleName(url);
    const digest = sha256 ?? parseImageReference(url)?.digest;
    if (digest !== undefined) return this.cache.find(name, digest);
    const known = this.cache.known(url);
    if (known === undefined || (mustRefetch(module) && known.resourceVersion !== module.resourceVersion))
      return undefined;
    return this.cache.find(name, known.checksum);
  }

  async #fetchOnce(module: RemoteModule, signal: AbortSignal): Promise<string> {
    using limit = deadline(this.#deps.clock, this.#config.requestTimeoutMs, signal);
    const url = URL.parse(module.url);
    if (url?.protocol === "oci:") return await this.#fetchImage(module, limit.signal);
    if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
      throw new WasmFetchError(module.url, "the scheme is not http, https or oci", { isPermanent: true });
    }
    const options = { ...this.#options, headers: loginFor(url, module.pullSecret) };
    const { status, body } = await fetchHttp(url, options, limit.signal);
    if (status !== 200) throw new HttpStatusError(status, url);
    const { sha256 } = module;
    const downloaded = await sha256Hex(body);
    const bytes = await unpackModule(body, this.#config.maxModuleBytes).catch((error: unknown) => {
      throw sha256 === undefined || sha256 === downloaded
        ? failureOf(module.url, error, "fetch_failure")
        : mismatch(module, downloaded);
    });
    const checksum = await sha256Hex(bytes);
    // The configured checksum may be that of the downloaded archive, or of the module in it.
    if (sha256 !== undefined && sha256 !== checksum && sha256 !== downloaded) throw mismatch(module, checksum);
    return await this.#keep(module, sha256 ?? checksum, bytes);
  }

  async #fetchImage(module: RemoteModule, signal: AbortSignal): Promise<string> {
    const reference = parseImageReference(module.url);
    const step = "manifest_failure";
    if (reference === undefined) {
      throw new WasmFetchError(module.url, "not an image reference", { isPermanent: true, result: step });
    }
    const found = fetchImage(reference, module.pullSecret, this.#options, signal);
    const image = await found.catch((error: unknown) => {
      throw failureOf(module.url, error, step);
    });
    if (module.sha256 !== undefined && module.sha256 !== image.digest) throw mismatch(module, image.digest);
    const name = moduleName(module.url);
    const path = await this.cache.find(name, image.digest);
    if (path === undefined) return this.#keep(module, image.digest, await image.download(signal));
    this.#remember(module, image.digest);
    return path;
  }

  async #keep(module: RemoteModule, checksum: string, bytes: Uint8Array): Promise<string> {
    this.#deps.metrics.wasmFetches.inc("success");
    try {
      const path = await this.cache.add(moduleName(module.url), checksum, bytes);
      this.#remember(module, checksum);
      return path;
    } catch (cause) {
      const problem = `cannot write to ${this.#config.cacheDirectory}: ${describeError(cause)}`;
      throw new WasmFetchError(module.url, problem, { isPermanent: false, cause });
    }
  }

  #remember({ url, resourceVersion }: RemoteModule, checksum: string): void {
    this.cache.remember(url, { module: moduleName(url), checksum, resourceVersion });
  }
}

/** The pull secret's login for the host, only over TLS. A malformed secret is ignored: the server may not need one. */
function loginFor(url: URL, pullSecret: string | undefined): Readonly<Record<string, string>> {
  if (url.protocol !== "https:" || pullSecret === undefined) return {};
  try {
    const login = parsePullSecret(pullSecret, url.host);
    return login === undefined ? {} : { authorization: `Basic ${login.basic}` };
  } catch {
    return {};
  }
}

/** The URL; for an image without tag and digest, so that its versions share a directory. */
function moduleName(url: string): string {
  const image = parseImageReference(url);
  return image === undefined ? url : `oci://${image.registry}/${image.repository}`;
}

/** With the policy `Always`, and for images with the explicit tag `latest`. */
function mustRefetch({ url, pullPolicy }: RemoteModule): boolean {
  return (
    pullPolicy === "always" || (pullPolicy === "unspecified" && url.startsWith("oci://") && url.endsWith(":latest"))
  );
}

function mismatch(module: RemoteModule, actual: string): WasmFetchError {
  const problem = `its checksum is ${actual}, expected ${module.sha256 ?? ""}`;
  return new WasmFetchError(module.url, problem, { isPermanent: true, result: "checksum_mismatched" });
}

/** Network errors and most server errors are temporary; a wrong module or address is permanent. */
function failureOf(url: string, error: unknown, step: FailedFetch): WasmFetchError {
  if (error instanceof WasmFetchError) return error;
  const isNetwork = isNetworkError(error);
  const isTemporaryStatus =
    error instanceof HttpStatusError && error.status >= 500 && ![501, 505, 511].includes(error.status);
  const result = error instanceof NoModuleError ? "fetch_failure" : step;
  return new WasmFetchError(url, describeError(error), {
    isPermanent: !isNetwork && !isTemporaryStatus,
    result,
    cause: error,
  });
}

function isNetworkError(error: unknown): boolean {
  if (error instanceof DeadlineError) return true;
  if (!(error instanceof HttpError) || error.systemCode === "EBLOCKED") return false;
  return /^(E[A-Z]+$|ERR_TLS|ERR_SSL|HPE_)/.test(error.systemCode ?? "");
}
