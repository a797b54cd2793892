// SPDX-License-Identifier: Apache-2.0
import type { ConvertedExtensions, ExtensionConverter, ExtensionUpdate } from "../proxied-stream.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { WasmDeps, WasmExtensions } from "./wasm-extensions.ts";

/** Loads the converter with the first extension: most pods have none. */
export class LazyWasmExtensions implements ExtensionConverter, AsyncDisposable {
  readonly #config: WasmConfig;
  readonly #deps: WasmDeps;
  #loading: Promise<WasmExtensions> | undefined;

  constructor(config: WasmConfig, deps: WasmDeps) {
    this.#config = config;
    this.#deps = { ...deps, log: deps.log.scope("wasm") };
  }

  async convert(update: ExtensionUpdate, signal: AbortSignal): Promise<ConvertedExtensions> {
    this.#loading ??= import("./wasm-extensions.ts").then(
      ({ WasmExtensions: Loaded }) => new Loaded(this.#config, this.#deps),
    );
    return (await this.#loading).convert(update, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#loading)?.[Symbol.asyncDispose]();
  }
}
