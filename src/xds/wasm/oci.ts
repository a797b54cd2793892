// SPDX-License-Identifier: Apache-2.0
import { sha256Hex } from "../../lib/content-hash.ts";
import { HttpError, type HttpResponse } from "../../lib/net/http-client.ts";
import { isLoopbackHost } from "../../lib/net/ip-address.ts";
import { BlockedAddresses, privateCidrs } from "./blocked-addresses.ts";
import { downloadHttp, fetchHttp, type HttpFetchOptions, HttpStatusError } from "./http-fetch.ts";
import {
  dockerHub,
  isOwnRealm,
  parseChallenge,
  parsePullSecret,
  type RegistryLogin,
  shortened,
} from "./registry-auth.ts";

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
  /** As the registry has sent it. */
  readonly manifest: Buffer;
  /** SHA-256 of the manifest. */
  readonly digest: string;
  /** Downloads the layer with the module. @throws what `read` throws; HttpStatusError */
  download<T>(
    layer: ModuleLayer,
    read: (body: AsyncIterable<Uint8Array>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>;
}

/** The layer of an image that has the module. */
export interface ModuleLayer {
  /** 64 hexadecimal digits. */
  readonly sha256: string;
  /** The file of the module; undefined when the layer is the module. */
  readonly path: string | undefined;
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
  const loginFor = (host: string): RegistryLogin | undefined =>
    pullSecret === undefined ? undefined : parsePullSecret(pullSecret, host);
  const registry = new Registry(image, loginFor, options);
  const reference = image.digest === undefined ? image.tag : `sha256:${image.digest}`;
  const { body } = await registry.get(`manifests/${reference}`, manifestTypes, signal);
  const digest = await sha256Hex(body);
  if (image.digest !== undefined && image.digest !== digest) throw new Error(`the manifest has the digest ${digest}`);
  return {
    manifest: body,
    digest,
    download: (layer, read, stop) => registry.download(`blobs/sha256:${layer.sha256}`, read, stop),
  };
}

/** A registry must not direct requests to a private address by a name that resolves to one. */
const realmAddresses = new BlockedAddresses(privateCidrs);

/** What a request to a registry adds to the options of all requests. */
type Headers = Pick<HttpFetchOptions, "headers" | "secretHeaders">;

class Registry {
  readonly #image: ImageReference;
  readonly #loginFor: (host: string) => RegistryLogin | undefined;
  readonly #login: RegistryLogin | undefined;
  readonly #options: HttpFetchOptions;
  #scheme = "https";
  #authorization: string | undefined;

  constructor(image: ImageReference, loginFor: (host: string) => RegistryLogin | undefined, options: HttpFetchOptions) {
    this.#image = image;
    this.#loginFor = loginFor;
    this.#login = loginFor(image.registry);
    this.#options = options;
  }

  async get(path: string, accept: string, signal: AbortSignal): Promise<HttpResponse> {
    const send = (headers: Headers): Promise<HttpResponse> =>
      fetchHttp(this.#url(path), { ...this.#options, ...headers }, signal);
    const response = await this.#authorized(accept, send, signal);
    if (response.status !== 200) throw new HttpStatusError(response.status, this.#url(path));
    return response;
  }

  async download<T>(
    path: string,
    read: (body: AsyncIterable<Uint8Array>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const send = (headers: Headers) =>
      downloadHttp(
        this.#url(path),
        { ...this.#options, ...headers },
        async ({ status, headers: received, chunks }) => ({
          status,
          headers: received,
          ...(status === 200 ? { result: await read(chunks) } : {}),
        }),
        signal,
      );
    const response = await this.#authorized("*/*", send, signal);
    if (!("result" in response)) throw new HttpStatusError(response.status, this.#url(path));
    return response.result;
  }

  /** Sends a request, and again with a login or a token when the registry requires it. */
  async #authorized<R extends Pick<HttpResponse, "status" | "headers">>(
    accept: string,
    send: (headers: Headers) => Promise<R>,
    signal: AbortSignal,
  ): Promise<R> {
    const response = await this.#tryBothSchemes(accept, send);
    if (response.status !== 401 || this.#authorization !== undefined) return response;
    this.#authorization = await this.#authorize(response.headers["www-authenticate"] ?? "", signal);
    return await this.#tryBothSchemes(accept, send);
  }

  async #tryBothSchemes<R>(accept: string, send: (headers: Headers) => Promise<R>): Promise<R> {
    const authorization = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    // A token that was issued without a login is no secret.
    const headers =
      this.#login === undefined
        ? { headers: { accept, ...authorization } }
        : { headers: { accept }, secretHeaders: authorization };
    try {
      return await send(headers);
    } catch (error) {
      // Node reports a plain-text response by the first code for https requests, by the second for bare TLS sockets.
      const code = error instanceof HttpError ? error.systemCode : undefined;
      const isPlain = code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER";
      if (!isPlain || this.#scheme === "http" || !this.#options.isInsecure(this.#url(""))) throw error;
      this.#scheme = "http";
      return await send(headers);
    }
  }

  async #authorize(header: string, signal: AbortSignal): Promise<string | undefined> {
    const challenge = parseChallenge(header);
    if (this.#login !== undefined) this.#assertVerified(this.#url(""));
    if (challenge === undefined) return this.#login && `Basic ${this.#login.basic}`;
    const realm = new URL(challenge.realm);
    const login = this.#loginOf(realm);
    if (challenge.service !== undefined) realm.searchParams.set("service", challenge.service);
    realm.searchParams.set("scope", challenge.scope ?? `repository:${this.#image.repository}:pull`);
    const secretHeaders = login === undefined ? {} : { authorization: `Basic ${login.basic}` };
    const blocked = this.#realmAddresses(realm);
    const response = await fetchHttp(realm, { ...this.#options, blocked, secretHeaders }, signal);
    if (response.status !== 200) throw new HttpStatusError(response.status, realm);
    return `Bearer ${parseToken(response.text())}`;
  }

  /** What may be sent to a realm of the registry's choice. @throws Error when the registry's login must not be */
  #loginOf(realm: URL): RegistryLogin | undefined {
    if (this.#login === undefined) return undefined;
    if (realm.protocol !== "https:") {
      throw new Error(`the pull secret is not sent to ${realm.origin}: the registry's realm is not https`);
    }
    this.#assertVerified(realm);
    if (isOwnRealm(realm, this.#image.registry)) return this.#login;
    const own = this.#loginFor(realm.host);
    if (own !== undefined) return own;
    throw new Error(
      `the pull secret of ${this.#image.registry} is not sent to its realm ${realm.host}: add ${realm.host} to the secret`,
    );
  }

  #assertVerified(url: URL): void {
    const isVerified = url.protocol === "https:" && !this.#options.isInsecure(url);
    if (isVerified || isLoopbackHost(url.hostname)) return;
    throw new Error(
      `the pull secret is not sent to ${url.host} without verified TLS: ` +
        "use a certificate that is verified, with its root in NODE_EXTRA_CA_CERTS",
    );
  }

  /** Whether a private address is allowed for a realm depends on where the registry is. */
  #realmAddresses(realm: URL): BlockedAddresses {
    const { blocked, isInsecure } = this.#options;
    if (realm.host === this.#image.registry) return blocked;
    if (!isInsecure(realm)) return realmAddresses;
    return isLoopbackHost(this.#url("").hostname) ? blocked : blocked.andLoopback;
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

/** @throws Error when the manifest has no layer with a module in a known layout */
export function parseManifest(bytes: Buffer): ModuleLayer {
  const typed = layersOf(bytes).map((layer) => layer as { readonly mediaType?: unknown; readonly digest?: unknown });
  const artifact = typed.length === 2 ? typed.find(({ mediaType }) => mediaType === layouts.artifact) : undefined;
  const last = typed.at(-1);
  const isArchive = last?.mediaType === layouts.docker || last?.mediaType === layouts.oci;
  const chosen = artifact ?? (isArchive ? last : undefined);
  const digest = typeof chosen?.digest === "string" ? chosen.digest : "";
  if (chosen === undefined) {
    const types = typed.slice(0, 3).map(({ mediaType }) => shortened(String(mediaType)));
    const more = typed.length > 3 ? ` and ${String(typed.length - 3)} more` : "";
    const found = types.length === 0 ? "none" : `${types.join(", ")}${more}`;
    throw new Error(`not a docker or OCI image with a module, nor a Wasm artifact; layers: ${found}`);
  }
  const sha256 = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (sha256 === undefined) throw new Error(`the digest of a layer is not a SHA-256: ${shortened(digest)}`);
  return { sha256, path: artifact === undefined ? "plugin.wasm" : undefined };
}

function layersOf(bytes: Buffer): readonly unknown[] {
  let manifest: unknown;
  try {
    manifest = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new Error("the manifest is not JSON");
  }
  const layers: unknown = typeof manifest === "object" && manifest !== null ? Reflect.get(manifest, "layers") : [];
  return Array.isArray(layers) ? layers.filter((layer) => typeof layer === "object" && layer !== null) : [];
}
