// SPDX-License-Identifier: Apache-2.0
import { ServerCredentials, type ServerDuplexStream, type status } from "@grpc/grpc-js";
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { startGrpcJsServer } from "../support/grpc-js-peer.ts";

/** A resource as the control plane holds it. */
export interface FakeResource {
  readonly name: string;
  readonly version: string;
  /** Serialised, without its Any. */
  readonly value: Uint8Array;
}

/** A request as it came, on which stream, with the call's metadata. */
export type SeenRequest = {
  readonly stream: number;
  readonly metadata: ReadonlyMap<string, string>;
  readonly bytes: Buffer;
} & (
  | { readonly kind: "sotw"; readonly request: DiscoveryRequest }
  | { readonly kind: "delta"; readonly request: DeltaDiscoveryRequest }
);

type Call = ServerDuplexStream<Buffer, Buffer>;

interface OpenStream {
  readonly id: number;
  readonly kind: "sotw" | "delta";
  readonly call: Call;
  /** Names asked for, by type; an empty set is everything. */
  readonly wanted: Map<string, Set<string>>;
  /** Versions that the client has, by type and name. */
  readonly known: Map<string, Map<string, string>>;
}

const ads = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";

/** A control plane for both protocols that does what it is told, also wrong things. */
export class FakeControlPlane implements AsyncDisposable {
  /** Every request since the start, in order. */
  readonly requests: SeenRequest[] = [];
  /** False: reads requests and sends nothing. */
  responds = true;
  port = 0;
  streamsOpened = 0;
  readonly #resources = new Map<string, Map<string, FakeResource>>();
  readonly #streams = new Set<OpenStream>();
  #version = 0;
  #nonce = 0;
  #server: AsyncDisposable | undefined;

  /** @param port 0 takes any; a restart takes the same one */
  async listen(port = 0, credentials = ServerCredentials.createInsecure()): Promise<void> {
    const sotw = (call: Call): void => {
      this.#onStream("sotw", call);
    };
    const delta = (call: Call): void => {
      this.#onStream("delta", call);
    };
    const methods = { [`${ads}StreamAggregatedResources`]: sotw, [`${ads}DeltaAggregatedResources`]: delta };
    const server = await startGrpcJsServer(methods, `127.0.0.1:${String(port)}`, credentials);
    this.#server = server;
    this.port = server.port;
  }

  /** Cuts all connections and stops listening. */
  async kill(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
    this.#streams.clear();
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** The resources of a type from now on; pushed to whoever wants them. */
  set(typeUrl: string, resources: readonly FakeResource[]): void {
    this.#version++;
    this.#resources.set(typeUrl, new Map(resources.map((resource) => [resource.name, resource])));
    for (const stream of this.#streams) if (stream.wanted.has(typeUrl)) this.#push(stream, typeUrl);
  }

  /** Sends the same bytes to every stream, whatever they are. */
  sendRaw(bytes: Uint8Array): void {
    for (const { call } of this.#streams) call.write(Buffer.from(bytes));
  }

  /** Reads no requests until `resume` is called. */
  pause(): void {
    for (const { call } of this.#streams) call.pause();
  }

  resume(): void {
    for (const { call } of this.#streams) call.resume();
  }

  end(): void {
    for (const { call } of this.#streams) call.end();
  }

  fail(code: status, details: string): void {
    for (const { call } of this.#streams) call.emit("error", { code, details });
  }

  seen(typeUrl: string): SeenRequest[] {
    return this.requests.filter(({ request }) => request.typeUrl === typeUrl);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #onStream(kind: "sotw" | "delta", call: Call): void {
    const stream: OpenStream = { id: ++this.streamsOpened, kind, call, wanted: new Map(), known: new Map() };
    this.#streams.add(stream);
    const metadata = new Map(Object.entries(call.metadata.getMap()).map(([name, value]) => [name, String(value)]));
    call.on("data", (bytes: Buffer) => {
      const seen = { stream: stream.id, metadata, bytes };
      if (kind === "sotw") this.#onSotw(stream, { ...seen, kind, request: DiscoveryRequest.decode(bytes) });
      else this.#onDelta(stream, { ...seen, kind, request: DeltaDiscoveryRequest.decode(bytes) });
    });
    const forget = (): void => {
      this.#streams.delete(stream);
    };
    call.on("end", () => {
      forget();
      call.end();
    });
    call.on("cancelled", forget);
    call.on("error", forget);
  }

  #onSotw(stream: OpenStream, seen: SeenRequest & { readonly kind: "sotw" }): void {
    this.requests.push(seen);
    const { typeUrl, resourceNames, responseNonce } = seen.request;
    const before = stream.wanted.get(typeUrl);
    const wanted = new Set(resourceNames);
    stream.wanted.set(typeUrl, wanted);
    const isNew = before === undefined || [...wanted].some((name) => !before.has(name));
    if (this.responds && (isNew || responseNonce === "")) this.#push(stream, typeUrl);
  }

  #onDelta(stream: OpenStream, seen: SeenRequest & { readonly kind: "delta" }): void {
    this.requests.push(seen);
    const { typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe, initialResourceVersions } = seen.request;
    const isNew = !stream.wanted.has(typeUrl);
    const wanted = stream.wanted.get(typeUrl) ?? new Set<string>();
    for (const name of resourceNamesSubscribe) if (name !== "*") wanted.add(name);
    for (const name of resourceNamesUnsubscribe) wanted.delete(name);
    stream.wanted.set(typeUrl, wanted);
    if (isNew) stream.known.set(typeUrl, new Map(Object.entries(initialResourceVersions)));
    if (this.responds && (isNew || resourceNamesSubscribe.length > 0)) this.#push(stream, typeUrl, isNew);
  }

  #push(stream: OpenStream, typeUrl: string, always = true): void {
    if (!this.responds || !this.#resources.has(typeUrl)) return;
    const held = [...(this.#resources.get(typeUrl)?.values() ?? [])];
    const wanted = stream.wanted.get(typeUrl) ?? new Set();
    const resources = held.filter(({ name }) => wanted.size === 0 || wanted.has(name));
    const nonce = `n${String(++this.#nonce)}`;
    const any = (value: Uint8Array) => ({ typeUrl, value: Buffer.from(value) });
    if (stream.kind === "sotw") {
      const versionInfo = String(this.#version);
      const answer = { versionInfo, typeUrl, nonce, resources: resources.map(({ value }) => any(value)) };
      stream.call.write(Buffer.from(DiscoveryResponse.encode(DiscoveryResponse.fromPartial(answer)).finish()));
      return;
    }
    const known = stream.known.get(typeUrl) ?? new Map<string, string>();
    const changed = resources.filter(({ name, version }) => known.get(name) !== version);
    const names = new Set(resources.map(({ name }) => name));
    const removedResources = [...known.keys()].filter((name) => !names.has(name));
    if (changed.length === 0 && removedResources.length === 0 && !always) return;
    stream.known.set(typeUrl, new Map(resources.map(({ name, version }) => [name, version])));
    const answer = DeltaDiscoveryResponse.fromPartial({
      systemVersionInfo: String(this.#version),
      typeUrl,
      nonce,
      removedResources,
      resources: changed.map(({ name, version, value }) => ({ name, version, resource: any(value) })),
    });
    stream.call.write(Buffer.from(DeltaDiscoveryResponse.encode(answer).finish()));
  }
}

export async function startFakeControlPlane(credentials?: ServerCredentials): Promise<FakeControlPlane> {
  const controlPlane = new FakeControlPlane();
  await controlPlane.listen(0, credentials);
  return controlPlane;
}
