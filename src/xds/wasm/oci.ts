// SPDX-License-Identifier: Apache-2.0
import { sha256Hex } from "../../lib/content-hash.ts";
import { HttpError, type HttpResponse } from "../../lib/net/http-client.ts";
import { BlockedAddresses, fetchHttp, isLoopback, type HttpFetchOptions, HttpStatusError } from "./http-fetch.ts";
import { dockerHub, parseChallenge, privateCidrs, parsePullSecret, type RegistryLogin } from "./registry-auth.ts";
import { unpackModule } from "./unpack.ts";

/** An image in a registry: `oci://host/repository:tag` or `@sha256:…`. */
export interface ImageReference {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string | undefined;
}

/** @returns undefined when the URL is not a reference with a host and a repository */
export function parseImageReference(url: string): ImageReference | undefined {
  const match = /^oci:\/\/([^/]+)\/([^:@]+)(?::([\w][\w.-]{0,127}))?(?:@sha256:([0-9a-f]{64}))?$/.exec(url);
  if (match === null) return undefined;
  const [, host = "", repository = "", tag = "latest", digest] = match;
  if (host !== "docker.io" && host !== "index.docker.io") return { registry: host, repository, tag, digest };
  const path = repository.includes("/") ? repository : `library/${repository}`;
  return { registry: dockerHub, repository: path, tag, digest };
}

export interface Image {
  /** SHA-256 of the manifest. */
  readonly digest: string;
  /** @throws Error when no layout with a module is recognised; NoModuleError when the file is not a module */
  download(signal: AbortSignal): Promise<Buffer>;
}

const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** Layer types by layout. Source: Wasm image specification of solo.io and the OCI artifact form, as Istio reads them */
const layouts = {
  docker: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  oci: "application/vnd.oci.image.layer.v1.tar+gzip",
  artifact: "application/vnd.module.wasm.content.layer.v1+wasm",
};

/**
 * Reads the manifest of an image.
 * @throws HttpStatusError for a status other than 200; Error when the manifest has another digest than the reference
 */
export async function fetchImage(
  image: ImageReference,
  pullSecret: string | undefined,
  options: HttpFetchOptions,
  signal: AbortSignal,
): Promise<Image> {
  const login = pullSecret === undefined ? undefined : parsePullSecret(pullSecret, image.registry);
  const registry = new Registry(image, login, options);
  const reference = image.digest === undefined ? image.tag : `sha256:${image.digest}`;
  const { body } = await registry.get(`manifests/${reference}`, manifestTypes, signal);
  const digest = await sha256Hex(body);
  if (image.digest !== undefined && image.digest !== digest) throw new Error(`the manifest has the digest ${digest}`);
  return {
    digest,
    async download(stop) {
      const layer = parseManifest(body);
      const blob = await registry.get(`blobs/${layer.digest}`, "*/*", stop);
      if (`sha256:${await sha256Hex(blob.body)}` !== layer.digest)
        throw new Error("a layer has another digest than in the manifest");
      return unpackModule(blob.body, options.maxBytes, layer.isArchive ? "plugin.wasm" : undefined);
    },
  };
}

/** A registry must not direct requests to a private address by a name that resolves to one. */
const realmAddresses = new BlockedAddresses(privateCidrs);

class Registry {
  readonly #image: ImageReference;
  readonly #login: RegistryLogin | undefined;
  readonly #options: HttpFetchOptions;
  #scheme = "https";
  #authorization: string | undefined;

  constructor(image: ImageReference, login: RegistryLogin | undefined, options: HttpFetchOptions) {
    this.#image = image;
    this.#login = login;
    this.#options = options;
  }

  async get(path: string, accept: string, signal: AbortSignal): Promise<HttpResponse> {
    let response = await this.#try(path, accept, signal);
    if (response.status === 401 && this.#authorization === undefined) {
      this.#authorization = await this.#authorize(response.headers["www-authenticate"] ?? "", signal);
      response = await this.#try(path, accept, signal);
    }
    if (response.status !== 200) throw new HttpStatusError(response.status, this.#url(path));
    return response;
  }

  async #try(path: string, accept: string, signal: AbortSignal): Promise<HttpResponse> {
    const authorization = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    const options = { ...this.#options, headers: { accept, ...authorization } };
    try {
      return await fetchHttp(this.#url(path), options, signal);
    } catch (error) {
      // Node reports a plain-text response by the first code for https requests, by the second for bare TLS sockets.
      const code = error instanceof HttpError ? error.systemCode : undefined;
      const isPlain = code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER";
      if (!isPlain || this.#scheme === "http" || !this.#options.isInsecure(this.#url(path))) throw error;
      this.#scheme = "http";
      return fetchHttp(this.#url(path), options, signal);
    }
  }

  async #authorize(header: string, signal: AbortSignal): Promise<string | undefined> {
    const challenge = parseChallenge(header);
    const basic = this.#login === undefined ? undefined : `Basic ${this.#login.basic}`;
    // Only a registry on this machine gets it without TLS.
    if (basic !== undefined && this.#scheme !== "https" && !isLoopback(this.#url("").hostname)) {
      throw new Error("the pull secret is not sent without TLS");
    }
    if (challenge === undefined) return basic;
    const url = new URL(challenge.realm);
    if (basic !== undefined && url.protocol !== "https:") {
      throw new Error(`the pull secret is not sent to ${url.origin}: the registry's realm is not https`);
    }
    if (challenge.service !== undefined) url.searchParams.set("service", challenge.service);
    url.searchParams.set("scope", challenge.scope ?? `repository:${this.#image.repository}:pull`);
    const headers = basic === undefined ? {} : { authorization: basic };
    const isKnown = url.host === this.#image.registry || this.#options.isInsecure(url);
    const blocked = isKnown ? this.#options.blocked : realmAddresses;
    const response = await fetchHttp(url, { ...this.#options, blocked, headers }, signal);
    if (response.status !== 200) throw new HttpStatusError(response.status, url);
    return `Bearer ${parseToken(response.text())}`;
  }

  #url(path: string): URL {
    return new URL(`${this.#scheme}://${this.#image.registry}/v2/${this.#image.repository}/${path}`);
  }
}

function parseToken(text: string): string {
  try {
    const { token, access_token } = JSON.parse(text) as { readonly token?: unknown; readonly access_token?: unknown };
    const found = token ?? access_token;
    if (typeof found === "string") return found;
  } catch {
    // The engine's message may quote a token.
  }
  throw new Error("the registry's token response has no token");
}

function parseManifest(bytes: Buffer): { readonly digest: string; readonly isArchive: boolean } {
  const manifest = JSON.parse(bytes.toString("utf8")) as { readonly layers?: unknown };
  const layers = Array.isArray(manifest.layers) ? (manifest.layers as readonly unknown[]) : [];
  const typed = layers.map((layer) => layer as { readonly mediaType?: unknown; readonly digest?: unknown });
  const artifact = typed.length === 2 ? typed.find(({ mediaType }) => mediaType === layouts.artifact) : undefined;
  const last = typed.at(-1);
  const isArchive = last?.mediaType === layouts.docker || last?.mediaType === layouts.oci;
  const chosen = artifact ?? (isArchive ? last : undefined);
  if (typeof chosen?.digest !== "string") {
    const types = typed.map(({ mediaType }) => String(mediaType)).join(", ");
    throw new Error(`not a docker or OCI image with a module, nor a Wasm artifact; layers: ${types}`);
  }
  return { digest: chosen.digest, isArchive: artifact === undefined };
}
