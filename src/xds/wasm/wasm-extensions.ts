// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { shortenPeerText } from "../../lib/printable-text.ts";
import type { Logger } from "../../lib/log/log.ts";
import { OutageLog } from "../../lib/log/outage-log.ts";
import { startTask } from "../../lib/async/tasks.ts";
import type { Budgets } from "../../model/limits.ts";
import type { XdsResource } from "../protocol/response.ts";
import type { ConvertedExtensions, ExtensionConverter, ExtensionUpdate } from "../proxied-stream.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import { type Extension, parseExtension } from "./extension.ts";
import { WasmFetchError } from "./fetch-error.ts";
import { ModuleFetcher } from "./module-fetcher.ts";

export interface WasmDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly budgets: Budgets;
  readonly metrics: Pick<
    XdsMetrics,
    "wasmConversions" | "wasmConversionMs" | "wasmFetches" | "wasmCacheEntries" | "wasmCacheLookups"
  >;
}

type Remote = Extract<Extension, { readonly kind: "remote" }>;

/** Replaces remote modules by local files, so that Envoy fetches nothing itself. */
export class WasmExtensions implements ExtensionConverter, AsyncDisposable {
  readonly #deps: WasmDeps;
  readonly #fetcher: ModuleFetcher;
  readonly #purging: AsyncDisposable;
  readonly #outage: OutageLog;

  constructor(config: WasmConfig, deps: WasmDeps) {
    this.#deps = deps;
    this.#fetcher = new ModuleFetcher(config, deps);
    this.#outage = new OutageLog(deps.log, deps.clock);
    this.#purging = startTask(
      async (signal) => {
        for (;;) {
          await this.#fetcher.cache.purge();
          await deps.clock.delay(config.purgeEveryMs, signal);
        }
      },
      (error) => {
        deps.log.warn("purge of unused Wasm modules stopped", { reason: describeError(error) });
      },
    );
  }

  async convert(update: ExtensionUpdate, signal: AbortSignal): Promise<ConvertedExtensions> {
    const { clock, metrics } = this.#deps;
    const startMs = clock.monotonicMs();
    try {
      return await this.#convert(update, signal);
    } finally {
      metrics.wasmConversionMs.observe(clock.monotonicMs() - startMs);
    }
  }

  async #convert(
    { resources, removed, isComplete }: ExtensionUpdate,
    signal: AbortSignal,
  ): Promise<ConvertedExtensions> {
    const { cache } = this.#fetcher;
    for (const name of removed) cache.use(name, undefined);
    if (isComplete) cache.useOnly(new Set(resources.map(({ name }) => name)));
    const extensions = await Promise.all(resources.map((resource) => this.#parse(resource)));
    let canRetry = false;
    const failed: string[] = [];
    const converted = await Promise.all(
      resources.map(async (resource, index) => {
        const extension = extensions[index];
        if (extension?.kind !== "remote") return resource;
        const { any, failure, path } = await this.#convertOne(extension, signal);
        cache.use(resource.name, path);
        if (failure !== undefined) failed.push(resource.name);
        if (failure?.isPermanent === false) canRetry = true;
        return { ...resource, any };
      }),
    );
    if (failed.length === 0) this.#outage.works();
    const isChanged = extensions.some(({ kind }) => kind === "remote");
    return { resources: converted, isChanged, failed, canRetry };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#purging[Symbol.asyncDispose]();
  }

  async #parse(resource: XdsResource): Promise<Extension> {
    try {
      const extension = await parseExtension(resource.any);
      if (extension.kind === "plain") this.#deps.metrics.wasmConversions.inc("no_remote_load");
      return extension;
    } catch (error) {
      this.#deps.metrics.wasmConversions.inc("unmarshal_failure");
      throw error;
    }
  }

  async #convertOne(
    extension: Remote,
    signal: AbortSignal,
  ): Promise<{ readonly any: Uint8Array; readonly failure?: WasmFetchError; readonly path?: string }> {
    const { metrics } = this.#deps;
    const { module } = extension;
    try {
      if (module === undefined) throw new WasmFetchError("", "no http_uri in its configuration", { isPermanent: true });
      const path = await this.#fetcher.fetch(module, signal);
      metrics.wasmConversions.inc("success");
      return { any: extension.withFile(path), path };
    } catch (error) {
      if (!(error instanceof WasmFetchError)) throw error;
      metrics.wasmConversions.inc(module === undefined ? "miss_remote_fetch_hint" : "fetch_failure");
      const { url, isPermanent } = error;
      const name = shortenPeerText(extension.name);
      const fields = { extension: name, url, isPermanent, reason: describeError(error) };
      const message = "Wasm module missing; its filter is replaced";
      this.#outage.failed({ level: "warn", message, kind: `${name} ${url}`, fields });
      return { any: extension.withoutModule(), failure: error };
    }
  }
}
