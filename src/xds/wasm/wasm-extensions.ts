// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import { startTask } from "../../lib/async/tasks.ts";
import type { XdsResource } from "../protocol/response.ts";
import type { ConvertedExtensions, ExtensionConverter } from "../proxied-stream.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import { type Extension, parseExtension } from "./extension.ts";
import { ModuleFetcher, WasmFetchError } from "./module-fetcher.ts";

export interface WasmDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
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

  constructor(config: WasmConfig, deps: WasmDeps) {
    this.#deps = deps;
    this.#fetcher = new ModuleFetcher(config, deps);
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

  async convert(resources: readonly XdsResource[], signal: AbortSignal): Promise<ConvertedExtensions> {
    const { clock, metrics } = this.#deps;
    const startMs = clock.monotonicMs();
    try {
      return await this.#convert(resources, signal);
    } finally {
      metrics.wasmConversionMs.observe(clock.monotonicMs() - startMs);
    }
  }

  async #convert(resources: readonly XdsResource[], signal: AbortSignal): Promise<ConvertedExtensions> {
    const extensions = await Promise.all(resources.map((resource) => this.#parse(resource)));
    let canRetry = false;
    const failed: string[] = [];
    const converted = await Promise.all(
      resources.map(async (resource, index) => {
        const extension = extensions[index];
        if (extension?.kind !== "remote") return resource;
        const { any, failure } = await this.#convertOne(extension, signal);
        if (failure !== undefined) failed.push(resource.name);
        if (failure?.isPermanent === false) canRetry = true;
        return { ...resource, any };
      }),
    );
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
  ): Promise<{ readonly any: Uint8Array; readonly failure: WasmFetchError | undefined }> {
    const { log, metrics } = this.#deps;
    const { module } = extension;
    try {
      if (module === undefined) throw new WasmFetchError("", "no http_uri in its configuration", { isPermanent: true });
      const path = await this.#fetcher.fetch(module, signal);
      metrics.wasmConversions.inc("success");
      return { any: extension.withFile(path), failure: undefined };
    } catch (error) {
      if (!(error instanceof WasmFetchError)) throw error;
      metrics.wasmConversions.inc(module === undefined ? "miss_remote_fetch_hint" : "fetch_failure");
      const { url, isPermanent } = error;
      log.warn("Wasm module missing; its filter is replaced", {
        extension: extension.name,
        url,
        isPermanent,
        reason: describeError(error),
      });
      return { any: extension.withoutModule(), failure: error };
    }
  }
}
