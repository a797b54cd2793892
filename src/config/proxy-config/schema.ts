// SPDX-License-Identifier: Apache-2.0

/**
 * The type of a field. For `intValue` and `boolValue`, absent differs from zero. `any` is not checked.
 * Source: Istio's API, mesh/v1alpha1/proxy.proto and the messages it refers to; field names in JSON form.
 */
export type FieldType =
  | "string"
  | "bool"
  | "boolValue"
  | "int"
  | "uint"
  | "intValue"
  | "number"
  | "duration"
  | "any"
  | { readonly message: MessageFields }
  | { readonly list: FieldType }
  | { readonly map: FieldType }
  | { readonly choice: readonly (readonly [name: string, number: number])[] };

export type MessageFields = Readonly<Record<string, FieldType>>;

const address: FieldType = { message: { address: "string" } };

const tlsSettings: FieldType = {
  message: {
    mode: {
      choice: [
        ["DISABLE", 0],
        ["SIMPLE", 1],
        ["MUTUAL", 2],
        ["ISTIO_MUTUAL", 3],
      ],
    },
    clientCertificate: "string",
    privateKey: "string",
    caCertificates: "string",
    credentialName: "string",
    subjectAltNames: { list: "string" },
    sni: "string",
    insecureSkipVerify: "boolValue",
    caCrl: "string",
  },
};

const remoteService: FieldType = {
  message: {
    address: "string",
    tlsSettings,
    tcpKeepalive: { message: { probes: "uint", time: "duration", interval: "duration" } },
  },
};

const forwardedClientCert: FieldType = {
  choice: [
    ["UNDEFINED", 0],
    ["SANITIZE", 1],
    ["FORWARD_ONLY", 2],
    ["APPEND_FORWARD", 3],
    ["SANITIZE_SET", 4],
    ["ALWAYS_FORWARD_ONLY", 5],
  ],
};

const named: FieldType = { message: { name: "string", defaultValue: "string" } };
const disabled: FieldType = { message: { disabled: "boolValue" } };
const enabled: FieldType = { message: { enabled: "boolValue" } };

const tracing: FieldType = {
  message: {
    zipkin: address,
    lightstep: { message: { address: "string", accessToken: "string" } },
    datadog: address,
    /** Not in Istio's ProxyConfig. */
    openTelemetry: address,
    stackdriver: {
      message: {
        debug: "bool",
        maxNumberOfAttributes: "any",
        maxNumberOfAnnotations: "any",
        maxNumberOfMessageEvents: "any",
      },
    },
    openCensusAgent: { message: { address: "string", context: { list: "any" } } },
    customTags: {
      map: { message: { literal: { message: { value: "string" } }, environment: named, header: named } },
    },
    maxPathTagLength: "uint",
    sampling: "number",
    tlsSettings,
    enableIstioTags: "boolValue",
  },
};

const keyProvider: FieldType = { message: { pollDelay: "duration", fallback: "boolValue" } };

const httpGet: FieldType = {
  message: {
    path: "string",
    port: "uint",
    host: "string",
    scheme: "string",
    httpHeaders: { list: { message: { name: "string", value: "string" } } },
  },
};

const readinessProbe: FieldType = {
  message: {
    initialDelaySeconds: "int",
    timeoutSeconds: "int",
    periodSeconds: "int",
    successThreshold: "int",
    failureThreshold: "int",
    httpGet,
    tcpSocket: { message: { host: "string", port: "uint" } },
    exec: { message: { command: { list: "string" } } },
    grpc: { message: { port: "uint", service: "string" } },
  },
};

const proxyHeaders: FieldType = {
  message: {
    forwardedClientCert,
    setCurrentClientCertDetails: {
      message: { subject: "boolValue", cert: "boolValue", chain: "boolValue", dns: "boolValue", uri: "boolValue" },
    },
    requestId: disabled,
    server: { message: { disabled: "boolValue", value: "string" } },
    attemptCount: disabled,
    envoyDebugHeaders: disabled,
    metadataExchangeHeaders: {
      message: {
        mode: {
          choice: [
            ["UNDEFINED", 0],
            ["IN_MESH", 1],
          ],
        },
      },
    },
    preserveHttp1HeaderCase: "boolValue",
    xForwardedHost: enabled,
    xForwardedPort: enabled,
  },
};

const connectionSettings: FieldType = {
  message: {
    profile: {
      choice: [
        ["SIDECAR", 0],
        ["EDGE", 1],
      ],
    },
    listenerPerConnectionBufferLimitBytes: "intValue",
    clusterPerConnectionBufferLimitBytes: "intValue",
    httpIdleTimeout: "duration",
    httpMaxConnectionDuration: "duration",
    httpDrainTimeout: "duration",
    httpRequestTimeout: "duration",
    httpRequestHeadersTimeout: "duration",
    httpStreamIdleTimeout: "duration",
    httpMaxStreamDuration: "duration",
    httpMaxConcurrentStreams: "intValue",
    http2InitialStreamWindowSize: "intValue",
    http2InitialConnectionWindowSize: "intValue",
    httpHeadersWithUnderscoresAction: {
      choice: [
        ["HEADERS_WITH_UNDERSCORES_UNSPECIFIED", 0],
        ["HEADERS_WITH_UNDERSCORES_ALLOW", 1],
        ["HEADERS_WITH_UNDERSCORES_REJECT_REQUEST", 2],
        ["HEADERS_WITH_UNDERSCORES_DROP_HEADER", 3],
      ],
    },
    httpMergeSlashes: "boolValue",
    httpPathWithEscapedSlashesAction: {
      choice: [
        ["PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED", 0],
        ["KEEP_UNCHANGED", 1],
        ["REJECT_REQUEST", 2],
        ["UNESCAPE_AND_REDIRECT", 3],
        ["UNESCAPE_AND_FORWARD", 4],
      ],
    },
    listenerConnectionLimit: "intValue",
    globalDownstreamConnectionLimit: "intValue",
  },
};

/** ProxyConfig, field by field. */
export const proxyConfigFields = {
  configPath: "string",
  binaryPath: "string",
  serviceCluster: "string",
  tracingServiceName: {
    choice: [
      ["APP_LABEL_AND_NAMESPACE", 0],
      ["CANONICAL_NAME_ONLY", 1],
      ["CANONICAL_NAME_AND_NAMESPACE", 2],
    ],
  },
  drainDuration: "duration",
  discoveryAddress: "string",
  discoveryRefreshDelay: "duration",
  zipkinAddress: "string",
  statsdUdpAddress: "string",
  envoyMetricsServiceAddress: "string",
  proxyAdminPort: "int",
  availabilityZone: "string",
  controlPlaneAuthPolicy: {
    choice: [
      ["NONE", 0],
      ["MUTUAL_TLS", 1],
      ["INHERIT", 1000],
    ],
  },
  customConfigFile: "string",
  statNameLength: "int",
  concurrency: "intValue",
  proxyBootstrapTemplatePath: "string",
  interceptionMode: {
    choice: [
      ["REDIRECT", 0],
      ["TPROXY", 1],
      ["NONE", 2],
    ],
  },
  tracing,
  sds: { message: { enabled: "bool", k8sSaJwtPath: "string" } },
  envoyAccessLogService: remoteService,
  envoyMetricsService: remoteService,
  proxyMetadata: { map: "string" },
  runtimeValues: { map: "string" },
  statusPort: "int",
  extraStatTags: { list: "string" },
  gatewayTopology: {
    message: {
      numTrustedProxies: "uint",
      forwardClientCertDetails: forwardedClientCert,
      proxyProtocol: { message: {} },
    },
  },
  terminationDrainDuration: "duration",
  meshId: "string",
  readinessProbe,
  proxyStatsMatcher: {
    message: {
      inclusionPrefixes: { list: "string" },
      inclusionSuffixes: { list: "string" },
      inclusionRegexps: { list: "string" },
    },
  },
  holdApplicationUntilProxyStarts: "boolValue",
  caCertificatesPem: { list: "string" },
  image: { message: { imageType: "string" } },
  privateKeyProvider: { message: { cryptomb: keyProvider, qat: keyProvider } },
  proxyHeaders,
  connectionSettings,
  fileFlushInterval: "duration",
  fileFlushMinSizeKb: "uint",
  statsCompression: "boolValue",
} as const satisfies MessageFields;
