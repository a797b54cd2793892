// SPDX-License-Identifier: Apache-2.0
import type { FileContent } from "../sources/config-input.ts";
import type { IdentitySource } from "../agent-config.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import { type Sources, places } from "../sources/sources.ts";
import { trimTrailing } from "../../lib/trim.ts";

/**
 * Where the workload certificate comes from: `ATTACHE_IDENTITY`, else the first source that applies.
 * Source: the order of Istio's agent
 */
export function identitySource(sources: Sources, externalSds: boolean): IdentitySource {
  const { env, findings } = sources;
  const fileMounted = env.bool("FILE_MOUNTED_CERTS");
  if (fileMounted && env.string("PROV_CERT") !== "") {
    findings.problem(
      "FILE_MOUNTED_CERTS",
      "invalid options: PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive; unset one",
    );
  }
  if (externalSds) {
    return {
      kind: "external-sds",
      socketPath: `${places.workloadSockets}/${env.string("WORKLOAD_IDENTITY_SOCKET_FILE")}`,
    };
  }
  const choice = identityChoice(sources);
  if (choice === "files") return mountedFiles(sources) ?? certificateFiles(places.certificates);
  if (choice === "spiffe") return workloadApi(sources);
  if (choice !== "") return { kind: "ca" };
  return mountedFiles(sources) ?? { kind: "ca" };
}

type MountedFiles = Extract<IdentitySource, { kind: "mounted-files" }>;

function certificateFiles(directory: string): MountedFiles {
  return {
    kind: "mounted-files",
    chainPath: `${directory}/cert-chain.pem`,
    keyPath: `${directory}/key.pem`,
    rootsPath: `${directory}/root-cert.pem`,
  };
}

function mountedFiles(sources: Sources): MountedFiles | undefined {
  const { env, proxy, input, findings } = sources;
  const present = (files: MountedFiles): boolean =>
    [files.chainPath, files.keyPath, files.rootsPath].every((path) => holdsText(input.readFile(path)));
  const credentials = certificateFiles(places.workloadCredentials);
  if (present(credentials)) return credentials;
  if (env.string("CA_PROVIDER") === "GkeWorkloadCertificate") {
    const files = gkeFiles();
    if (!present(files))
      findings.problem("CA_PROVIDER", `there are no certificates in ${places.workloadCredentials}; mount them there`);
    return files;
  }
  const certificates = certificateFiles(places.certificates);
  if (env.bool("FILE_MOUNTED_CERTS")) {
    const path = (name: string, otherwise: string): string =>
      proxy.proxyMetadata?.[`ISTIO_META_TLS_CLIENT_${name}`] ?? otherwise;
    return {
      kind: "mounted-files",
      chainPath: path("CERT_CHAIN", certificates.chainPath),
      keyPath: path("KEY", certificates.keyPath),
      rootsPath: path("ROOT_CERT", certificates.rootsPath),
    };
  }
  const written = trimTrailing(env.string("OUTPUT_CERTS"), "/");
  const ownOutput =
    written === places.certificates ||
    written === places.certificates.slice(2) ||
    written === places.certificates.slice(1);
  return !ownOutput && present(certificates) ? certificates : undefined;
}

function gkeFiles(): MountedFiles {
  const directory = places.workloadCredentials;
  return {
    kind: "mounted-files",
    chainPath: `${directory}/certificates.pem`,
    keyPath: `${directory}/private_key.pem`,
    rootsPath: `${directory}/ca_certificates.pem`,
  };
}

function holdsText(file: FileContent): boolean {
  return file.kind === "unreadable" || (file.kind === "text" && file.text !== "");
}

/** Source: SPIFFE Workload Endpoint specification, section 4 */
function workloadApi({ env, findings }: Sources): IdentitySource {
  const text = env.string("SPIFFE_ENDPOINT_SOCKET");
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined) {
    findings.problem(
      "SPIFFE_ENDPOINT_SOCKET",
      `${JSON.stringify(text)} is not an endpoint; use a URL such as unix:///run/spire/agent.sock or tcp://127.0.0.1:8080`,
    );
  }
  return {
    kind: "workload-api",
    endpoint: endpoint ?? { kind: "unix", path: "" },
    spiffeId: env.string("ATTACHE_SPIFFE_ID") || undefined,
    hint: env.string("ATTACHE_SPIFFE_HINT") || undefined,
    federatesWith: env
      .string("ATTACHE_SPIFFE_FEDERATES_WITH")
      .split(",")
      .map((name) => name.trim().replace(/^spiffe:\/\//, ""))
      .filter((name) => name !== ""),
  };
}

type Endpoint = Extract<IdentitySource, { kind: "workload-api" }>["endpoint"];

function parseEndpoint(text: string): Endpoint | undefined {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (unix !== undefined) return { kind: "unix", path: unix };
  const tcp = /^tcp:\/\/(.+)$/.exec(text)?.[1];
  const address = tcp === undefined ? "" : parseHostPort(tcp);
  return typeof address === "string" ? undefined : { kind: "tcp", ...address };
}

/** The kinds of CA. */
export const caKinds = ["istio", "vault", "step", "kubernetes-csr", "embedded"] as const;

export type CaKind = (typeof caKinds)[number];

/** `ATTACHE_IDENTITY`: files, the SPIFFE Workload API, or CAs in order of preference. Empty when not set. */
export function identityChoice({
  env,
  findings,
}: Pick<Sources, "env" | "findings">): "" | "files" | "spiffe" | readonly CaKind[] {
  const text = env.string("ATTACHE_IDENTITY");
  if (text === "" || text === "files" || text === "spiffe") return text;
  const names = text.split(",").map((name) => name.trim());
  const kinds = names.flatMap((name) => caKinds.filter((kind) => kind === name));
  if (kinds.length === names.length && new Set(kinds).size === kinds.length) return kinds;
  findings.problem(
    "ATTACHE_IDENTITY",
    `${JSON.stringify(text)} is invalid; use files, spiffe, or one or more of ${caKinds.join(", ")} separated by commas`,
  );
  return kinds;
}
