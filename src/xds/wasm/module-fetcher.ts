// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { type Clock, DeadlineError, deadline } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { HttpError } from "../../lib/net/http-client.ts";
import { sha256Hex } from "../../lib/content-hash.ts";
import { BlockedAddresses } from "./addresses.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import type { RemoteModule } from "./extension.ts";
import { fetchHttp, type HttpFetchOptions, HttpStatusError } from "./http-fetch.ts";
import { ModuleCache } from "./module-cache.ts";
import { fetchImage, parseImageReference } from "./oci.ts";
import { parsePullSecret } from "./registry-auth.ts";
import { NoModuleError, unpackModule } from "./unpack.ts";
import type { WasmConfig } from "./wasm-config.ts";
import { type FailedFetch, WasmFetchError } from "./wasm-error.ts";

export interface FetcherDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: Pick<XdsMetrics, "wasmCacheEntries" | "wasmCacheLookups" | "wasmFetches">;
}

const wait = { firstMs: 500, factor: 2, maxMs: 60_000 };

/** Gets modules from the cache, or from where they are. */
export class ModuleFetcher {
  readonly cache: ModuleCache;
  readonly #config: WasmConfig;
  readonly #deps: FetcherDeps;
  readonly #options: HttpFetchOptions;

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
      return await this.#fetch(module, signal);
    } catch (error) {
      if (error instanceof WasmFetchError && error.result !== undefined) {
        this.#deps.metrics.wasmFetches.inc(error.result);
      }
      throw error;
    }
  }

  async #fetch(module: RemoteModule, signal: AbortSignal): Promise<string> {
    using limit = deadline(this.#deps.clock, module.timeoutMs, signal);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#fetchOnce(module, limit.signal);
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(module.url, error, "download_failure");
        if (failure.isPermanent || attempt + 1 >= this.#config.maxAttempts || limit.signal.aborted) throw failure;
        const waitMs = backoffMs(wait, attempt, this.#deps.random(), wait.firstMs / 2);
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
      throw new WasmFetchError(module.url, "the scheme is none of http, https, oci", { isPermanent: true });
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
    // Whoever computed the checksum may have had the downloaded file, or the module inside of it.
    if (sha256 !== undefined && sha256 !== checksum && sha256 !== downloaded) throw mismatch(module, checksum);
    return await this.#keep(module, sha256 ?? checksum, bytes);
  }

  async #fetchImage(module: RemoteModule, signal: AbortSignal): Promise<string> {
    const reference = parseImageReference(module.url);
    const step = "manifest_failure";
    if (reference === undefined) {
      throw new WasmFetchError(module.url, "it names no image", { isPermanent: true, result: step });
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
      const problem = `it cannot be written below ${this.#config.cacheDirectory}: ${describeError(cause)}`;
      throw new WasmFetchError(module.url, problem, { isPermanent: false, cause });
    }
  }

  #remember({ url, resourceVersion }: RemoteModule, checksum: string): void {
    this.cache.remember(url, { module: moduleName(url), checksum, resourceVersion });
  }
}

/** The pull secret's login for the host, where it cannot be overheard. A secret that is none is not needed here. */
function loginFor(url: URL, pullSecret: string | undefined): Readonly<Record<string, string>> {
  if (url.protocol !== "https:" || pullSecret === undefined) return {};
  try {
    const login = parsePullSecret(pullSecret, url.host);
    return login === undefined ? {} : { authorization: `Basic ${login.basic}` };
  } catch {
    return {};
  }
}

/** Without tag and digest: all versions of an image share a folder. */
function moduleName(url: string): string {
  const image = parseImageReference(url);
  return image === undefined ? url : `oci://${image.registry}/${image.repository}`;
}

/** `Always`, and images whose tag is `latest` in so many words. */
function mustRefetch({ url, pullPolicy }: RemoteModule): boolean {
  return (
    pullPolicy === "always" || (pullPolicy === "unspecified" && url.startsWith("oci://") && url.endsWith(":latest"))
  );
}

function mismatch(module: RemoteModule, actual: string): WasmFetchError {
  const problem = `its checksum is ${actual}, expected is ${module.sha256 ?? ""}`;
  return new WasmFetchError(module.url, problem, { isPermanent: true, result: "checksum_mismatched" });
}

/** A server's own faults may pass, and so may the network's; what is wrong with the module or the address will not. */
function failureOf(url: string, error: unknown, step: FailedFetch): WasmFetchError {
  if (error instanceof WasmFetchError) return error;
  const isNetwork = isNetworkFault(error);
  const isServer = error instanceof HttpStatusError && error.status >= 500 && ![501, 505, 511].includes(error.status);
  const result = error instanceof NoModuleError ? "fetch_failure" : step;
  return new WasmFetchError(url, describeError(error), { isPermanent: !isNetwork && !isServer, result, cause: error });
}

function isNetworkFault(error: unknown): boolean {
  if (error instanceof DeadlineError) return true;
  if (!(error instanceof HttpError) || error.systemCode === "EBLOCKED") return false;
  return /^(E[A-Z]+$|ERR_TLS|ERR_SSL|HPE_)/.test(error.systemCode ?? "");
}
