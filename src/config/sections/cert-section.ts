// SPDX-License-Identifier: Apache-2.0
import { dirname, resolve } from "node:path";
import type { CertConfig, CertOutputConfig, KeyAlgorithm } from "../../cert/types.ts";
import type { PrivateKeyProvider, SdsConfig } from "../../sds/types.ts";
import type { CertFilesConfig } from "../agent-config.ts";
import { parseMode } from "../sources/environment.ts";
import { protoDurationMs } from "../proxy-config/proxy-config.ts";
import { type Sources, places } from "../sources/sources.ts";
import { meshTrust, watchedMeshFile } from "./mesh-trust.ts";
import { clientCertificate, socketMode } from "./trust-section.ts";

/** Below a second, the default of Istio's CA is requested, which is what that CA would use. */
function requestedTtlMs({ env, findings }: Sources): number {
  const ttlMs = env.durationMs("SECRET_TTL");
  if (ttlMs >= 1_000) return ttlMs;
  findings.warn("SECRET_TTL", "is less than a second; the default 24h is used");
  return 24 * 3_600_000;
}

/** Identity, key and rotation of the workload certificate. */
export function certConfig(sources: Sources): Omit<CertConfig, "rootFiles"> {
  const { env, node, findings } = sources;
  const ttlMs = requestedTtlMs(sources);
  const jwtPolicy = env.string("JWT_POLICY");
  if (jwtPolicy === "first-party-jwt") findings.warn("JWT_POLICY", "first-party-jwt is the same as third-party-jwt");
  else if (jwtPolicy !== "third-party-jwt") {
    findings.warn(
      "JWT_POLICY",
      `unknown policy ${JSON.stringify(jwtPolicy)}; the token file is used as with third-party-jwt`,
    );
  }
  return {
    identity: {
      trustDomain: env.string("TRUST_DOMAIN"),
      namespace: node.namespace,
      serviceAccount: env.string("SERVICE_ACCOUNT"),
    },
    strictTrustDomain: env.bool("ATTACHE_STRICT_TRUST_DOMAIN"),
    key: keyAlgorithm(sources),
    pkcs8: env.bool("PKCS8_KEY"),
    ttlMs,
    rotation: {
      gracePeriodRatio: ratio(sources, "SECRET_GRACE_PERIOD_RATIO"),
      gracePeriodRatioJitter: ratio(sources, "SECRET_GRACE_PERIOD_RATIO_JITTER"),
      leastSpread: env.isSet("SECRET_GRACE_PERIOD_RATIO_JITTER") ? 0 : 0.1,
      floorMs: env.durationMs("ATTACHE_ROTATION_FLOOR"),
    },
    refusedExitAfterMs: env.durationMs("ATTACHE_CA_REFUSED_EXIT_AFTER"),
    cacheDirectory: directoryOf(sources, env.string("ATTACHE_IDENTITY_CACHE")),
    provisioned: provisionedFiles(sources),
    output: certOutput(sources),
    rootSpreadMs: env.durationMs("ATTACHE_ROOT_CHANGE_SPREAD"),
    ...meshTrust(sources),
  };
}

function provisionedFiles(sources: Sources): CertConfig["provisioned"] {
  const files = clientCertificate(sources);
  const directory = sources.env.string("PROV_CERT");
  return files === undefined ? undefined : { ...files, rootsPath: `${directory}/root-cert.pem` };
}

function directoryOf({ input }: Sources, path: string): string | undefined {
  return path === "" ? undefined : resolve(input.system.directory, path);
}

function certOutput(sources: Sources): CertOutputConfig | undefined {
  const directory = directoryOf(sources, sources.env.string("OUTPUT_CERTS"));
  return directory === undefined ? undefined : { directory, keyMode: keyMode(sources), certificateMode: 0o644 };
}

/** The mode of the written key. In Kubernetes its readers are other containers, which have users of their own. */
function keyMode({ env, findings }: Sources): CertOutputConfig["keyMode"] {
  const name = "ATTACHE_OUTPUT_CERTS_KEY_MODE";
  const text = env.string(name);
  const mode = parseMode(text);
  if (mode !== undefined) return mode;
  if (text !== "") findings.problem(name, `${JSON.stringify(text)} is not a mode such as 0600`);
  return env.string("KUBERNETES_SERVICE_HOST") === "" ? 0o600 : "for-readers";
}

/** An unknown algorithm, curve or size is a problem here; in the reference every signing request fails. */
function keyAlgorithm({ env, findings }: Sources): KeyAlgorithm {
  const algorithm = env.string("ECC_SIGNATURE_ALGORITHM");
  if (algorithm === "ECDSA") {
    const curve = env.string("ECC_CURVE");
    if (curve !== "P256" && curve !== "P384" && curve !== "") {
      findings.problem("ECC_CURVE", `unknown curve ${JSON.stringify(curve)}; use P256 or P384`);
    }
    return { kind: "ec", curve: curve === "P384" ? "P-384" : "P-256" };
  }
  if (algorithm !== "") {
    findings.problem(
      "ECC_SIGNATURE_ALGORITHM",
      `unknown algorithm ${JSON.stringify(algorithm)}; use ECDSA, or leave it empty for RSA`,
    );
  }
  const bits = env.int("WORKLOAD_RSA_KEY_SIZE");
  if (bits < 2048 || bits > 16_384) {
    findings.problem("WORKLOAD_RSA_KEY_SIZE", `${String(bits)} bits: an RSA key needs 2048 to 16384`);
  }
  return { kind: "rsa", bits };
}

function ratio(
  { env, findings }: Sources,
  name: "SECRET_GRACE_PERIOD_RATIO" | "SECRET_GRACE_PERIOD_RATIO_JITTER",
): number {
  const value = env.float(name);
  if (value < 0 || value > 1)
    findings.warn(name, `${String(value)} is not between 0 and 1; the nearest of both is used`);
  return Math.min(1, Math.max(0, value));
}

/** How mounted certificate files are read. */
export function certFilesConfig(sources: Sources): CertFilesConfig {
  checkWorkloadSocket(sources);
  return { debounceMs: sources.env.durationMs("FILE_DEBOUNCE_DURATION"), meshFile: watchedMeshFile(sources) };
}

/** A socket with another name than the default must be served by another process. */
function checkWorkloadSocket({ env, input, findings }: Sources): void {
  const name = "WORKLOAD_IDENTITY_SOCKET_FILE";
  const socketFile = env.string(name);
  if (socketFile.includes("/") || socketFile === "") {
    findings.problem(name, `workload identity socket file override must be a filename, not a path: ${socketFile}`);
    return;
  }
  const path = `${places.workloadSockets}/${socketFile}`;
  if (socketFile === "socket" || input.system.servedSockets.has(path)) return;
  findings.problem(
    name,
    `agent configured for non-default SDS socket path: ${path} but no socket found; start its server first`,
  );
}

/** @param externalSds another process serves the workload certificate; the agent serves only file secrets */
export function sdsConfig(sources: Sources, externalSds: boolean): SdsConfig {
  const { env, input, proxy } = sources;
  return {
    socketPath: externalSds ? places.filesSocket : `${places.workloadSockets}/socket`,
    socketMode: socketMode(sources),
    fileDirectories: fileDirectories(sources).map((path) => resolve(input.system.directory, path)),
    privateKeyProvider: keyProvider(proxy.privateKeyProvider),
    crlPath: env.bool("PILOT_ENABLE_CA_CRL") ? places.crl : undefined,
  };
}

function keyProvider(config: Sources["proxy"]["privateKeyProvider"]): PrivateKeyProvider {
  for (const kind of ["cryptomb", "qat"] as const) {
    const provider = config?.[kind];
    if (provider !== undefined) {
      return { kind, pollDelayMs: protoDurationMs(provider.pollDelay), fallback: provider.fallback ?? false };
    }
  }
  return { kind: "none" };
}

/** The usual directories of mounted certificates, and those of every certificate file that the configuration names. */
function fileDirectories({ env, proxy }: Sources): readonly string[] {
  const mounts = [
    "/etc/certs",
    "/etc/istio",
    "/var/run/secrets",
    places.certificates,
    "./etc/istio",
    "./var/run/secrets",
  ];
  const more = env.string("ATTACHE_SDS_FILE_DIRECTORIES").split(":");
  const settings = [
    proxy.tracing?.tlsSettings,
    proxy.envoyMetricsService?.tlsSettings,
    proxy.envoyAccessLogService?.tlsSettings,
  ];
  const named = settings.flatMap((tls) => [tls?.caCertificates, tls?.clientCertificate, tls?.privateKey]);
  const meta = Object.entries({ ...proxy.proxyMetadata, ...env.all });
  const fromMeta = meta.filter(([name]) => /^ISTIO_META_TLS_(CLIENT|SERVER)_/.test(name)).map(([, path]) => path);
  const folders = [...named, ...fromMeta].filter((path) => path?.includes("/")).map((path) => dirname(path ?? ""));
  return [...new Set([...mounts, ...more, ...folders])].filter((path) => path !== "" && path !== "/");
}
