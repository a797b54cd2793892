// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";
import { eventually } from "../support/eventually.ts";

/** A client of the SDS service made of the full published API and @grpc/grpc-js, so nothing of it is the product's. */
const packages = join(import.meta.dirname, "../../node_modules");
const apis = ["envoy-api", "xds", "googleapis", "protoc-gen-validate"];
const includeDirs = [...apis.map((api) => join(packages, "@grpc/grpc-js-xds/deps", api)), join(packages, "protobufjs")];
const definitions = loadSync("envoy/service/secret/v3/sds.proto", { includeDirs, keepCase: true, oneofs: true });
const SecretService = (
  grpc.loadPackageDefinition(definitions) as unknown as {
    envoy: { service: { secret: { v3: { SecretDiscoveryService: new (...args: unknown[]) => SecretServiceClient } } } };
  }
).envoy.service.secret.v3.SecretDiscoveryService;

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => includeDirs.map((path) => join(path, target)).find(existsSync) ?? null;
root.loadSync("envoy/extensions/transport_sockets/tls/v3/secret.proto", { keepCase: true });
const secretMessage = root.lookupType("envoy.extensions.transport_sockets.tls.v3.Secret");

interface SecretServiceClient extends grpc.Client {
  StreamSecrets(): grpc.ClientDuplexStream<object, SecretsAnswer>;
  DeltaSecrets(): grpc.ClientDuplexStream<object, DeltaSecretsAnswer>;
  FetchSecrets(
    request: object,
    options: object,
    callback: (error: grpc.ServiceError | null, answer?: SecretsAnswer) => void,
  ): void;
}

export interface SecretsAnswer {
  readonly version_info: string;
  readonly nonce: string;
  readonly type_url: string;
  readonly resources: readonly AnyFields[];
}

export interface DeltaSecretsAnswer {
  readonly system_version_info: string;
  readonly nonce: string;
  readonly resources: readonly { readonly name: string; readonly version: string; readonly resource: AnyFields }[];
  readonly removed_resources?: readonly string[];
}

interface AnyFields {
  readonly type_url: string;
  readonly value: Buffer;
}

interface DataSource {
  readonly inline_bytes?: Buffer;
}

export interface SecretFields {
  readonly name: string;
  readonly tls_certificate?: {
    readonly certificate_chain: DataSource;
    readonly private_key?: DataSource;
    readonly private_key_provider?: {
      readonly provider_name: string;
      readonly typed_config: Record<string, unknown>;
      readonly fallback?: boolean;
    };
  };
  readonly validation_context?: { readonly trusted_ca: DataSource; readonly crl?: DataSource };
}

export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const node = { id: "sidecar~10.0.0.1~web.demo~demo.svc.cluster.local" };

/** One open stream: what came, and how it ended. */
export class SdsStreamClient<Answer extends { readonly nonce: string }> implements Disposable {
  readonly answers: Answer[] = [];
  /** Sees each answer as it comes. */
  onAnswer: (answer: Answer) => void = () => undefined;
  readonly #stream: grpc.ClientDuplexStream<object, Answer>;
  /** Set when the stream has ended, with the server's status. */
  status: { readonly code: number; readonly details: string } | undefined;

  constructor(stream: grpc.ClientDuplexStream<object, Answer>) {
    this.#stream = stream;
    stream.on("data", (answer: Answer) => {
      this.answers.push(answer);
      this.onAnswer(answer);
    });
    stream.on("status", (status: grpc.StatusObject) => {
      this.status = { code: status.code, details: status.details };
    });
    stream.on("error", () => undefined);
  }

  /** Sends a request with node and type; `facts` adds to it or replaces. */
  ask(facts: object): void {
    this.#stream.write({ node, type_url: secretTypeUrl, ...facts });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The answer number `count`, counted from 1. */
  untilAnswer(count: number): Promise<Answer> {
    return eventually(
      () => {
        const answer = this.answers[count - 1];
        if (answer === undefined)
          throw new Error(`${String(this.answers.length)} answers so far: ${JSON.stringify(this.status)}`);
        return answer;
      },
      { withinMs: 5_000 },
    );
  }

  untilStatus(): Promise<{ readonly code: number; readonly details: string }> {
    return eventually(
      () => {
        if (this.status === undefined) throw new Error("the stream is open");
        return this.status;
      },
      { withinMs: 5_000 },
    );
  }

  [Symbol.dispose](): void {
    this.#stream.cancel();
  }
}

export class SdsClient implements Disposable {
  readonly #client: SecretServiceClient;

  constructor(socketPath: string) {
    this.#client = new SecretService(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      "grpc.default_authority": "sds-grpc",
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  stream(): SdsStreamClient<SecretsAnswer> {
    return new SdsStreamClient(this.#client.StreamSecrets());
  }

  delta(): SdsStreamClient<DeltaSecretsAnswer> {
    return new SdsStreamClient(this.#client.DeltaSecrets());
  }

  /** @throws grpc.ServiceError */
  fetch(names: readonly string[], deadlineMs = 5_000): Promise<SecretsAnswer> {
    return new Promise((resolve, reject) => {
      const request = { node, type_url: secretTypeUrl, resource_names: names };
      this.#client.FetchSecrets(request, { deadline: Date.now() + deadlineMs }, (error, answer) => {
        if (error !== null || answer === undefined) reject(error ?? new Error("no answer"));
        else resolve(answer);
      });
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Reads a serialised secret by the full API. */
export function decodeSecret(resource: AnyFields | undefined): SecretFields {
  if (resource?.type_url !== secretTypeUrl) throw new Error(`not a secret: ${String(resource?.type_url)}`);
  return secretMessage.toObject(secretMessage.decode(resource.value)) as SecretFields;
}

/** The PEM text of a certificate chain or of a bundle. */
export function contentOf(resource: AnyFields | undefined): string {
  const secret = decodeSecret(resource);
  const source = secret.tls_certificate?.certificate_chain ?? secret.validation_context?.trusted_ca;
  return String(source?.inline_bytes);
}
