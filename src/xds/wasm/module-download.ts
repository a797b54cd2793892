// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import type { Budget } from "../../lib/budget.ts";
import { sha256Hex } from "../../lib/content-hash.ts";
import { chunksOf } from "../../lib/fs/temporary-file.ts";
import { isLoopbackHost } from "../../lib/net/ip-address.ts";
import type { Budgets } from "../../model/limits.ts";
import type { WasmConfig } from "../xds-config.ts";
import type { XdsMetrics } from "../xds-metrics.ts";
import { BlockedAddresses } from "./blocked-addresses.ts";
import type { CacheFile } from "./cache-file.ts";
import type { RemoteModule } from "./extension.ts";
import { failureOf, mismatch, WasmFetchError } from "./fetch-error.ts";
import { downloadHttp, type HttpFetchOptions, HttpStatusError } from "./http-fetch.ts";
import type { ModuleCache, ModuleKey } from "./module-cache.ts";
import { fetchImage, type Image, type ModuleLayer, parseImageReference, parseManifest } from "./oci.ts";
import { parsePullSecret } from "./registry-auth.ts";
import { UnpackError, unpackModule } from "./unpack.ts";

export interface DownloadDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
  readonly metrics: Pick<XdsMetrics, "wasmFetches">;
}

/** A module in the cache. */
export interface CachedModule {
  readonly path: string;
  readonly checksum: string;
}

/** Brings modules into the cache: from servers and registries, or from what the cache has kept of an earlier download. */
export class ModuleDownload {
  readonly #cache: ModuleCache;
  readonly #deps: DownloadDeps;
  readonly #options: HttpFetchOptions;
  readonly #moduleBytes: Budget;

  constructor(config: WasmConfig, cache: ModuleCache, deps: DownloadDeps) {
    this.#cache = cache;
    this.#deps = deps;
    this.#moduleBytes = deps.budgets.of("wasm-module-bytes");
    const { insecureRegistries: insecure, proxies } = config;
    this.#options = {
      blocked: new BlockedAddresses(config.blockedCidrs),
      isInsecure: ({ host, hostname }) => insecure.has("*") || insecure.has(host) || insecure.has(hostname),
      proxies,
      responseBytes: deps.budgets.of("wasm-response-bytes"),
    };
  }

  /** One attempt. @throws WasmFetchError; what is thrown otherwise failed while downloading; the signal's reason */
  async fetch(module: RemoteModule, signal: AbortSignal): Promise<CachedModule> {
    const url = URL.parse(module.url);
    if (url?.protocol === "oci:") return await this.#fetchImage(module, signal);
    if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
      throw new WasmFetchError(module.url, "the scheme is not http, https or oci", { isPermanent: true });
    }
    await using download = await this.#cache.create(module.url, signal);
    await this.#download(url, module, download, signal);
    return await this.#unpackFile(module, download, signal);
  }

  /** Whether the cache has kept something that `restore` may use. Cheap. */
  async canRestore({ url }: RemoteModule, checksum: string): Promise<boolean> {
    const part = parseImageReference(url) === undefined ? "download" : "manifest";
    return await this.#cache.has({ name: moduleName(url), checksum }, part);
  }

  /**
   * A module that is pinned to the checksum of an archive or an image: it is unpacked again from what an earlier process
   * has kept, if that has this checksum. Undefined when it cannot be.
   */
  async restore({ url }: RemoteModule, checksum: string, signal: AbortSignal): Promise<string | undefined> {
    const key = { name: moduleName(url), checksum };
    try {
      return parseImageReference(url) === undefined
        ? await this.#restoreArchive(key, { sha256: checksum, path: undefined }, signal)
        : await this.#restoreImage(key, signal);
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #restoreImage(key: ModuleKey, signal: AbortSignal): Promise<string | undefined> {
    const manifest = await this.#cache.readManifest(key);
    if (manifest === undefined || (await sha256Hex(manifest)) !== key.checksum) return undefined;
    const layer = parseManifest(manifest);
    return (await this.#cache.verify(key, "wasm", layer.sha256)) ?? (await this.#restoreArchive(key, layer, signal));
  }

  async #restoreArchive(key: ModuleKey, layer: ModuleLayer, signal: AbortSignal): Promise<string | undefined> {
    await using file = await this.#cache.openDownload(key);
    if (file === undefined) return undefined;
    // What is unpacked is a copy, which no other program changes after its checksum was computed.
    await using download = await this.#cache.create(key.name, signal);
    for await (const chunk of chunksOf(file)) await download.write(chunk);
    if (download.sha256() !== layer.sha256) return undefined;
    await using unpacked = await this.#unpack(key.name, download, layer.path, signal);
    return await this.#cache.keep(unpacked, key, "wasm");
  }

  async #download(url: URL, module: RemoteModule, file: CacheFile, signal: AbortSignal): Promise<void> {
    const { secretHeaders, isWithheld } = this.#loginFor(url, module.pullSecret);
    const read = async ({ status, chunks }: { status: number; chunks: AsyncIterable<Uint8Array> }): Promise<void> => {
      if (status === 401 && isWithheld) {
        const reason = "the pull secret is not sent without verified TLS";
        throw new Error(`${url.host} responded with status 401: ${reason}`);
      }
      if (status !== 200) throw new HttpStatusError(status, url);
      await this.#receive(chunks, file);
    };
    await downloadHttp(url, { ...this.#options, secretHeaders }, read, signal);
  }

  /** A malformed secret is ignored: the server may not need one. */
  #loginFor(
    url: URL,
    pullSecret: string | undefined,
  ): { readonly secretHeaders: Readonly<Record<string, string>>; readonly isWithheld: boolean } {
    let basic: string | undefined;
    try {
      basic = pullSecret === undefined ? undefined : parsePullSecret(pullSecret, url.host)?.basic;
    } catch {
      basic = undefined;
    }
    if (basic === undefined) return { secretHeaders: {}, isWithheld: false };
    const isVerified = url.protocol === "https:" && (!this.#options.isInsecure(url) || isLoopbackHost(url.hostname));
    return isVerified
      ? { secretHeaders: { authorization: `Basic ${basic}` }, isWithheld: false }
      : { secretHeaders: {}, isWithheld: true };
  }

  async #receive(chunks: AsyncIterable<Uint8Array>, file: CacheFile): Promise<void> {
    for await (const chunk of chunks) {
      this.#admit(file.bytes + chunk.length);
      await file.write(chunk);
    }
  }

  #admit(bytes: number): void {
    if (!this.#moduleBytes.admits(bytes)) throw this.#moduleBytes.spentError();
  }

  /** The configured checksum may be that of the downloaded archive, or of the module in it. */
  async #unpackFile(module: RemoteModule, download: CacheFile, signal: AbortSignal): Promise<CachedModule> {
    const { url, sha256 } = module;
    const downloaded = download.sha256();
    if (download.isModule) {
      if (sha256 !== undefined && sha256 !== downloaded) throw mismatch(module, downloaded);
      return await this.#keep(download, { name: url, checksum: downloaded });
    }
    await using unpacked = await this.#unpack(url, download, undefined, signal).catch((error: unknown) => {
      const isOther = error instanceof UnpackError && sha256 !== undefined && sha256 !== downloaded;
      throw isOther ? mismatch(module, downloaded) : failureOf(url, error, "fetch_failure");
    });
    const checksum = unpacked.sha256();
    if (sha256 !== undefined && sha256 !== checksum && sha256 !== downloaded) throw mismatch(module, checksum);
    const key = { name: url, checksum: sha256 ?? checksum };
    if (key.checksum === downloaded) await this.#cache.keep(download, key, "download");
    return await this.#keep(unpacked, key);
  }

  async #keep(file: CacheFile, key: ModuleKey): Promise<CachedModule> {
    this.#deps.metrics.wasmFetches.inc("success");
    return { path: await this.#cache.keep(file, key, "wasm"), checksum: key.checksum };
  }

  async #unpack(name: string, download: CacheFile, path: string | undefined, signal: AbortSignal): Promise<CacheFile> {
    const unpacked = await this.#cache.create(name, signal);
    try {
      const onUnpacked = (bytes: number): void => {
        signal.throwIfAborted();
        this.#admit(bytes);
      };
      await unpackModule(download.chunks(), unpacked, { path, onUnpacked });
      return unpacked;
    } catch (error) {
      await unpacked[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #fetchImage(module: RemoteModule, signal: AbortSignal): Promise<CachedModule> {
    const reference = parseImageReference(module.url);
    const step = "manifest_failure";
    if (reference === undefined) {
      throw new WasmFetchError(module.url, "not an image reference", { isPermanent: true, result: step });
    }
    const found = fetchImage(reference, module.pullSecret, this.#options, signal);
    const image = await found.catch((error: unknown) => {
      throw failureOf(module.url, error, step);
    });
    const { digest: checksum } = image;
    if (module.sha256 !== undefined && module.sha256 !== checksum) throw mismatch(module, checksum);
    const key = { name: moduleName(module.url), checksum };
    const kept = (await this.#cache.find(key)) ?? (await this.restore(module, checksum, signal));
    if (kept !== undefined) return { path: kept, checksum };
    return await this.#downloadLayer(image, parseManifest(image.manifest), key, signal);
  }

  async #downloadLayer(image: Image, layer: ModuleLayer, key: ModuleKey, signal: AbortSignal): Promise<CachedModule> {
    await using blob = await this.#cache.create(key.name, signal);
    await image.download(layer, (body) => this.#receive(body, blob), signal);
    if (blob.sha256() !== layer.sha256) throw new Error("a layer has another digest than in the manifest");
    await using unpacked = blob.isModule ? undefined : await this.#unpack(key.name, blob, layer.path, signal);
    await using manifest = await this.#cache.create(key.name, signal);
    await manifest.write(image.manifest);
    await this.#cache.keep(manifest, key, "manifest");
    if (unpacked === undefined) return await this.#keep(blob, key);
    await this.#cache.keep(blob, key, "download");
    return await this.#keep(unpacked, key);
  }
}

/** The URL; for an image without tag and digest, so that its versions share a directory. */
export function moduleName(url: string): string {
  const image = parseImageReference(url);
  return image === undefined ? url : `oci://${image.registry}/${image.repository}`;
}
