// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { Semaphore } from "../../lib/async/semaphore.ts";
import { SharedWork } from "../../lib/async/shared-work.ts";
import type { Budget } from "../../lib/budget.ts";
import type { Budgets } from "../../model/limits.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import { CacheWriteError } from "./cache-file.ts";
import type { RemoteModule } from "./extension.ts";
import { failureOf, WasmFetchError } from "./fetch-error.ts";
import { KnownUrls } from "./known-urls.ts";
import { ModuleCache } from "./module-cache.ts";
import { ModuleDownload, moduleName } from "./module-download.ts";
import { parseImageReference } from "./oci.ts";

export interface FetcherDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly budgets: Budgets;
  readonly metrics: Pick<XdsMetrics, "wasmCacheEntries" | "wasmCacheLookups" | "wasmFetches">;
}

const retryPolicy = { firstMs: 500, factor: 2, maxMs: 60_000 };

/** Gets modules from the cache on disk, or downloads them. */
export class ModuleFetcher {
  readonly cache: ModuleCache;
  readonly #config: WasmConfig;
  readonly #deps: FetcherDeps;
  readonly #download: ModuleDownload;
  readonly #urls: KnownUrls;
  readonly #fetches: Budget;
  /** Fetches wait for their turn in the order of their calls. */
  readonly #turns: Semaphore;
  readonly #shared = new SharedWork<string>();
  readonly #sharedRestores = new SharedWork<string | undefined>();

  constructor(config: WasmConfig, deps: FetcherDeps) {
    this.#config = config;
    this.#deps = deps;
    this.cache = new ModuleCache(config, deps);
    this.#download = new ModuleDownload(config, this.cache, deps);
    this.#urls = new KnownUrls(deps.budgets.of("wasm-urls"));
    this.#fetches = deps.budgets.of("wasm-fetches");
    this.#turns = new Semaphore(this.#fetches.size);
  }

  /** @returns the path of the module's file. @throws WasmFetchError, or the signal's reason */
  async fetch(module: RemoteModule, signal: AbortSignal): Promise<string> {
    const { metrics, budgets } = this.#deps;
    const urlBytes = budgets.of("wasm-url-bytes");
    if (!urlBytes.admits(module.url.length)) {
      throw new WasmFetchError(module.url.slice(0, 100), urlBytes.text, { isPermanent: true });
    }
    const hit = (await this.#find(module)) ?? (await this.#restore(module, signal));
    metrics.wasmCacheLookups.inc(String(hit !== undefined));
    if (hit !== undefined) return hit;
    const { timeoutMs: _, resourceVersion, ...same } = module;
    const key = JSON.stringify([same, mustRefetch(module) ? resourceVersion : ""]);
    return await this.#shared.run(key, (stop) => this.#fetchCounted(module, stop), signal);
  }

  async #fetchCounted(module: RemoteModule, signal: AbortSignal): Promise<string> {
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
    using _turn = await this.#turn(signal);
    // An equal module may have been fetched for another extension meanwhile.
    const found = await this.#find(module);
    if (found !== undefined) return found;
    using limit = deadline(this.#deps.clock, module.timeoutMs, signal);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#fetchOnce(module, limit.signal);
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(module.url, error, "download_failure");
        const isLast = attempt + 1 >= this.#config.maxAttempts || limit.signal.aborted;
        if (failure.isPermanent || isLast || failure.cause instanceof CacheWriteError) throw failure;
        const waitMs = backoffMs(retryPolicy, attempt, this.#deps.random(), retryPolicy.firstMs / 2);
        try {
          await this.#deps.clock.delay(waitMs, limit.signal);
        } catch {
          throw failure;
        }
      }
    }
  }

  async #fetchOnce(module: RemoteModule, signal: AbortSignal): Promise<string> {
    using limit = deadline(this.#deps.clock, this.#config.requestTimeoutMs, signal);
    const { path, checksum } = await this.#download.fetch(module, limit.signal).catch((error: unknown) => {
      // The deadline aborts in the middle of anything.
      throw limit.signal.aborted ? limit.signal.reason : error;
    });
    this.#urls.set(module.url, { checksum, resourceVersion: module.resourceVersion });
    return path;
  }

  async #find(module: RemoteModule): Promise<string | undefined> {
    const checksum = pinOf(module) ?? this.#knownChecksum(module);
    return checksum === undefined ? undefined : await this.cache.find({ name: moduleName(module.url), checksum });
  }

  #knownChecksum(module: RemoteModule): string | undefined {
    const known = this.#urls.get(module.url);
    const isOutdated = mustRefetch(module) && known?.resourceVersion !== module.resourceVersion;
    return isOutdated ? undefined : known?.checksum;
  }

  async #restore(module: RemoteModule, signal: AbortSignal): Promise<string | undefined> {
    const pin = pinOf(module);
    if (pin === undefined || !(await this.#download.canRestore(module, pin))) return undefined;
    const restore = async (stop: AbortSignal): Promise<string | undefined> => {
      using _turn = await this.#turn(stop);
      return (await this.#find(module)) ?? (await this.#download.restore(module, pin, stop));
    };
    const key = JSON.stringify([moduleName(module.url), pin]);
    return await this.#sharedRestores.run(key, restore, signal);
  }

  async #turn(signal: AbortSignal): Promise<Disposable> {
    const turn = await this.#turns.acquire(signal);
    const counted = this.#fetches.take();
    return {
      [Symbol.dispose]: () => {
        counted?.[Symbol.dispose]();
        turn[Symbol.dispose]();
      },
    };
  }
}

/** The checksum that the module must have; undefined for one that is not pinned. */
function pinOf({ url, sha256 }: RemoteModule): string | undefined {
  return sha256 ?? parseImageReference(url)?.digest;
}

/** With the policy `Always`, and for images with the explicit tag `latest`. */
function mustRefetch({ url, pullPolicy }: RemoteModule): boolean {
  return (
    pullPolicy === "always" || (pullPolicy === "unspecified" && url.startsWith("oci://") && url.endsWith(":latest"))
  );
}
