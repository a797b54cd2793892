// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { AgentConfig } from "../../../src/config/agent-config.ts";
import { ConfigError, parseConfig } from "../../../src/config/index.ts";
import { podEnv, type TestInput, testInput } from "../../support/parity-case.ts";

function parse({ env = {}, ...more }: TestInput = {}): AgentConfig {
  return parseConfig(testInput({ ...more, env: { ...podEnv, ...env } }));
}

/** Every problem as `source: message`. */
function problems(input: TestInput): readonly string[] {
  try {
    parse(input);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ source, message }) => `${source}: ${message}`);
  }
}

const warnings = (input: TestInput): readonly string[] =>
  parse(input).warnings.map(({ source, message }) => `${source}: ${message}`);

test("the variables of the Go runtime, which Istio sets in every pod, change nothing and need no warning", () => {
  const env = { GOMEMLIMIT: "1073741824", AUTOMEMLIMIT: "0.5" };
  expect(warnings({ env })).toEqual(warnings({}));
});

test("a pod without anything else is a sidecar with Istio's defaults", () => {
  const config = parse();
  expect(config.role).toBe("sidecar");
  expect(config.node.id).toBe("sidecar~10.1.2.3~web-1.shop~shop.svc.cluster.local");
  expect(config.envoy.binaryPath).toBe("/usr/local/bin/envoy");
  expect(config.envoy.args.slice(0, 4)).toEqual(["-c", "etc/istio/proxy/envoy-rev.json", "--drain-time-s", "45"]);
  expect(config.ca).toMatchObject({ kind: "istio", host: "istiod.istio-system.svc", port: 15012 });
  expect(config.status).toMatchObject({ port: 15020, appHost: "10.1.2.3", probeSourceAddress: "127.0.0.6" });
  expect(config.sds).toMatchObject({ socketMode: 0o600 });
  expect(config.warnings).toEqual([]);
});

test("all problems are reported together, each under its source", () => {
  const found = problems({
    args: ["gateway", "--concurrency=many"],
    env: {
      ECC_SIGNATURE_ALGORITHM: "DSA",
      PROXY_CONFIG: '{"drainDuration":"1.5s","statusPort":70000}',
      ISTIO_META_DNS_CAPTURE: "",
    },
  });
  expect(found).toHaveLength(6);
  expect(found.join("\n")).toMatch(/--concurrency: "many" is not a whole number/);
  expect(found.join("\n")).toMatch(/role: invalid proxy type: gateway/);
  expect(found.join("\n")).toMatch(/PROXY_CONFIG, field drainDuration: drain time only supports/);
  expect(found.join("\n")).toMatch(/PROXY_CONFIG, field statusPort: invalid status port: port number 70000/);
  expect(found.join("\n")).toMatch(/ISTIO_META_DNS_CAPTURE: "" is not true or false/);
  expect(found.join("\n")).toMatch(/ECC_SIGNATURE_ALGORITHM: unknown algorithm "DSA"; use ECDSA/);
});

test.each([
  ["in the ProxyConfig", { env: { PROXY_CONFIG: '{"statusPort":0}' } }],
  ["as annotation", { files: new Map([["etc/istio/pod/annotations", 'status.sidecar.istio.io/port="0"\n']]) }],
])("status port 0 %s turns the status server off, and Envoy's listener that leads to it", (_title, input) => {
  const { status, bootstrap } = parse(input);
  expect([status.port, bootstrap]).toMatchObject([0, { config: { ports: { status: 0 } } }]);
});

describe("what the reference finds out late, or never, is a problem", () => {
  test.each<[string, TestInput, RegExp]>([
    [
      "more workers than Envoy can make",
      { env: { PROXY_CONFIG: '{"concurrency":174745701}' } },
      /^PROXY_CONFIG, field concurrency: 174745701 workers are too many; at most 65535$/,
    ],
    [
      "an unknown curve",
      { env: { ECC_SIGNATURE_ALGORITHM: "ECDSA", ECC_CURVE: "P521" } },
      /^ECC_CURVE: unknown curve "P521"/,
    ],
    ["a short RSA key", { env: { WORKLOAD_RSA_KEY_SIZE: "1024" } }, /^WORKLOAD_RSA_KEY_SIZE: 1024 bits/],
    [
      "a missing override",
      { env: { ISTIO_BOOTSTRAP_OVERRIDE: "/o.yaml" } },
      /^ISTIO_BOOTSTRAP_OVERRIDE \/o.yaml: there is no such file/,
    ],
    [
      "an override that is no document",
      { env: { ISTIO_BOOTSTRAP_OVERRIDE: "o.yaml" }, files: new Map([["o.yaml", "a: ["]]) },
      /neither YAML nor JSON/,
    ],
    [
      "a missing custom file",
      { env: { PROXY_CONFIG: '{"customConfigFile":"c.json"}' } },
      /^PROXY_CONFIG, field customConfigFile: c.json cannot be read/,
    ],
    [
      "a template of one's own",
      { env: { ISTIO_BOOTSTRAP: "/mine.json" } },
      /^ISTIO_BOOTSTRAP: bootstrap templates are not supported .* use ISTIO_BOOTSTRAP_OVERRIDE/,
    ],
    [
      "a CA that is not registered",
      { env: { CA_PROVIDER: "GoogleCAS" } },
      /^CA_PROVIDER: CA provider "GoogleCAS" not registered/,
    ],
    [
      "Google's CA",
      { env: { CA_ADDR: "meshca.googleapis.com:443" } },
      /^CA_ADDR: .*Google's CA service is not supported/,
    ],
    [
      "a path for a file name",
      { env: { WORKLOAD_IDENTITY_SOCKET_FILE: "x/y" } },
      /must be a filename, not a path: x\/y/,
    ],
    [
      "a socket without a server",
      { env: { WORKLOAD_IDENTITY_SOCKET_FILE: "spire" } },
      /non-default SDS socket path: .*\/spire but no socket found/,
    ],
    [
      "a credential fetcher that is none",
      { env: { CREDENTIAL_FETCHER_TYPE: "zzz" } },
      /invalid credential fetcher type zzz/,
    ],
    [
      "a path too long for a socket",
      { env: { PROXY_CONFIG: JSON.stringify({ configPath: "x".repeat(110) }) } },
      /^PROXY_CONFIG, field configPath: the socket path x+\/XDS is too long/,
    ],
    [
      "mutual TLS to a service without a certificate",
      { env: { PROXY_CONFIG: '{"envoyMetricsService":{"address":"m:1","tlsSettings":{"mode":"MUTUAL"}}}' } },
      /^PROXY_CONFIG, field envoyMetricsService: tlsSettings of mode MUTUAL needs clientCertificate/,
    ],
    [
      "roots that are not to be used",
      {
        env: {
          PROXY_CONFIG: '{"tracing":{"tlsSettings":{"mode":"SIMPLE","caCertificates":"/r","insecureSkipVerify":true}}}',
        },
      },
      /^PROXY_CONFIG, field tracing: invalid tracing TLS config: insecureSkipVerify excludes/,
    ],
    [
      "names to check without roots to check them by",
      {
        env: {
          PROXY_CONFIG:
            '{"tracing":{"zipkin":{"address":"z:1"},"tlsSettings":{"mode":"SIMPLE","subjectAltNames":["a"]}}}',
        },
      },
      /^PROXY_CONFIG, field tracing: tlsSettings has no caCertificates, which subjectAltNames need$/,
    ],
    ["a CA provider of no name", { env: { CA_PROVIDER: "" } }, /^CA_PROVIDER: CA provider "" not registered/],
    [
      "an empty address in the annotation",
      { files: new Map([["etc/istio/pod/annotations", 'sidecar.istio.io/discoveryAddress=""']]) },
      /^annotation sidecar.istio.io\/discoveryAddress: invalid discovery address/,
    ],
    ["an Envoy log level", { args: ["--proxyLogLevel=loud"] }, /^--proxyLogLevel: unknown level "loud"/],
    ["an agent log level", { args: ["--log_output_level=zzz"] }, /^--log_output_level: invalid output level 'zzz'/],
    ["probers that are no JSON", { env: { ISTIO_KUBE_APP_PROBERS: "{" } }, /^ISTIO_KUBE_APP_PROBERS: failed to decode/],
    [
      "a readiness probe without a method",
      { env: { PROXY_CONFIG: '{"readinessProbe":{}}' } },
      /^PROXY_CONFIG, field readinessProbe: needs exactly one of/,
    ],
    [
      "an unreadable identity choice",
      { env: { ATTACHE_IDENTITY: "istio,isto" } },
      /^ATTACHE_IDENTITY: "istio,isto" is invalid; use files, spiffe, or one or more of istio, vault/,
    ],
    [
      "both certificate options",
      { env: { PROV_CERT: "./c", FILE_MOUNTED_CERTS: "true" } },
      /PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive/,
    ],
  ])("%s", (_title, input, expected) => {
    expect(problems(input)).toEqual([expect.stringMatching(expected)]);
  });

  test("a missing root certificate is reported for the CA and for the control plane", () => {
    const found = problems({ env: { CA_ROOT_CA: "", XDS_ROOT_CA: "" } });
    expect(found.map((text) => text.split(";")[0])).toEqual([
      "XDS_ROOT_CA: root CA file for XDS does not exist var/run/secrets/istio/root-cert.pem",
      "CA_ROOT_CA: root CA file for CA does not exist var/run/secrets/istio/root-cert.pem",
    ]);
  });
});

describe("what the reference passes over in silence is a warning", () => {
  test.each<[string, TestInput, string]>([
    [
      "a flag that is not known",
      { args: ["--proxyLogLevl=debug", "router"] },
      "--proxyLogLevl: unknown flag --proxyLogLevl (did you mean --proxyLogLevel?)",
    ],
    [
      "a field that is not known",
      { env: { PROXY_CONFIG: '{"concurency": 2}' } },
      "PROXY_CONFIG, field concurency: unknown field concurency is ignored (did you mean concurrency?)",
    ],
    [
      "a duration that is none",
      { env: { SECRET_TTL: "86400" } },
      'SECRET_TTL: "86400" is not a duration such as 30s or 1h30m; using the default 24h',
    ],
    [
      "a platform that is none",
      { env: { CLOUD_PLATFORM: "amazon" } },
      'CLOUD_PLATFORM: unknown platform "amazon"; use aws, azure, gcp or none; the platform is detected',
    ],
    ["no lifetime", { env: { SECRET_TTL: "0" } }, "SECRET_TTL: is less than a second; the default 24h is used"],
    [
      "a port that is none",
      { env: { ENVOY_PROMETHEUS_PORT: "0" } },
      "ENVOY_PROMETHEUS_PORT: is 0: Envoy listens on a random port; this does not turn the listener off",
    ],
    ["a dead flag", { args: ["--vklog=3"] }, "--vklog: is accepted, but has no effect"],
    ["places in the code", { args: ["--log_caller=all"] }, "--log_caller: is accepted, but has no effect"],
    [
      "a tracer that Envoy does not have",
      { env: { PROXY_CONFIG: '{"tracing":{"stackdriver":{}}}' } },
      "PROXY_CONFIG, field tracing.stackdriver: Envoy no longer has this tracer; it is ignored",
    ],
    [
      "a custom tag that says nothing",
      { env: { PROXY_CONFIG: '{"tracing":{"customTags":{"x":{"header":{}}}}}' } },
      "PROXY_CONFIG, field tracing: custom tag x needs a name in header",
    ],
    ["a dead variable", { env: { XDS_AUTH_PROVIDER: "x" } }, "XDS_AUTH_PROVIDER: is accepted, but has no effect"],
    [
      "a setting of our own that does not exist",
      { env: { ATTACHE_XDS_FILE: "/x" } },
      "ATTACHE_XDS_FILE: unknown variable; it is ignored (did you mean ATTACHE_XDS_FILES?)",
    ],
    [
      "an IP that is none",
      { env: { INSTANCE_IP: "10.0.0.1,10.0.0.2" } },
      'INSTANCE_IP: "10.0.0.1,10.0.0.2" is not one IP address; it is ignored',
    ],
    [
      "an address of metrics that cannot be resolved",
      { env: { PROXY_CONFIG: '{"statsdUdpAddress":"nobody.example:9125"}' } },
      "PROXY_CONFIG, field statsdUdpAddress: resolve StatsdUdpAddress failed: nobody.example has no address; metrics are not sent there",
    ],
  ])("%s", (_title, input, expected) => {
    expect(warnings(input)).toEqual([expected]);
  });
});

test("an unknown flag does not swallow the role", () => {
  expect(parse({ args: ["--proxyLogLevl=debug", "router"] }).role).toBe("router");
  expect(parse({ args: ["--tpyo", "router"] }).role).toBe("router");
  expect(parse({ args: ["--tpyo", "value", "waypoint"] }).role).toBe("waypoint");
});

test("an IPv6-first pod with dual stack off has one admin address, for Envoy and for who asks it", () => {
  const interfaces = [{ name: "eth0", loopback: false, addresses: ["2001:db8::5", "10.1.2.3"] }];
  const { envoy, bootstrap } = parse({ env: { INSTANCE_IP: "2001:db8::5" }, interfaces });
  expect(envoy.admin).toMatchObject({ host: "127.0.0.1" });
  expect(bootstrap).toMatchObject({ config: { addresses: { local: "127.0.0.1" } } });
});

describe("Envoy's cluster name is never empty, which Envoy rejects", () => {
  test.each([
    [{ tracingServiceName: "CANONICAL_NAME_ONLY" }, "shop", "service.istio.io/canonical-name", ".shop"],
    [{ tracingServiceName: "CANONICAL_NAME_ONLY" }, "", "app", "istio-proxy"],
    [{}, "", "app", "istio-proxy"],
  ])("%j in namespace %j with an empty label %s gives %s", (proxyConfig, namespace, label, expected) => {
    const app = label === "app" ? "" : 'app=""\n';
    const files = new Map([["etc/istio/pod/labels", `${app}${label}=""\n`]]);
    const env = { PROXY_CONFIG: JSON.stringify(proxyConfig), POD_NAMESPACE: namespace };
    expect(parse({ env, files }).node.cluster).toBe(expected);
  });
});

test("PILOT_SAN of an IPv6 control plane is its address", () => {
  const { node } = parse({ env: { PROXY_CONFIG: '{"discoveryAddress":"[2001:db8::9]:15012"}' } });
  expect(node.metadata["PILOT_SAN"]).toEqual(["2001:db8::9"]);
});

test("the override reaches Envoy as JSON, with an IPv6 host in brackets", () => {
  const files = new Map([["o.yaml", "a: $(HOST_IP)\nb: '[$(HOST_IP)]:1'\n"]]);
  const { bootstrap, envoy } = parse({ env: { ISTIO_BOOTSTRAP_OVERRIDE: "o.yaml", HOST_IP: "2001:db8::1" }, files });
  expect(bootstrap).toMatchObject({ override: { a: "[2001:db8::1]", b: "[2001:db8::1]:1" } });
  expect(envoy.args).not.toContain("--config-yaml");
});

describe("an override of a custom bootstrap", () => {
  const env = {
    ISTIO_BOOTSTRAP_OVERRIDE: "o.yaml",
    PROXY_CONFIG: '{"customConfigFile":"custom.yaml","configPath":"./proxy"}',
  };

  test("is merged into a file of the agent's, and not on Envoy's command line", () => {
    const files = new Map([
      ["o.yaml", "admin: {access_log_path: s3cret}"],
      ["custom.yaml", "node: {id: mine}"],
    ]);
    const { bootstrap, envoy } = parse({ env, files });
    expect(bootstrap).toEqual({
      kind: "merged",
      path: "proxy/envoy-rev.json",
      customPath: "custom.yaml",
      custom: { node: { id: "mine" } },
      // the file has no admin interface
      override: {
        admin: { access_log_path: "s3cret", address: { pipe: { path: "./proxy/admin.sock", mode: 0o600 } } },
      },
    });
    expect(envoy.args.slice(0, 2)).toEqual(["-c", "proxy/envoy-rev.json"]);
    expect(envoy.args.join(" ")).not.toContain("s3cret");
  });

  test("needs a bootstrap in YAML or JSON; without an override any form is given to Envoy", () => {
    const files = new Map([
      ["o.yaml", "a: b"],
      ["custom.yaml", "\n\u0001binary"],
    ]);
    expect(() => parse({ env, files })).toThrow(/cannot be merged into custom.yaml, which is neither YAML nor JSON/);
    const { bootstrap } = parse({ env: { PROXY_CONFIG: env.PROXY_CONFIG }, files });
    expect(bootstrap).toEqual({ kind: "file", path: "custom.yaml" });
  });
});

describe("a text that is too large to parse is a problem with its source, also in YAML:", () => {
  const deep = [`${"[".repeat(15_000)}${"]".repeat(15_000)}`, "- ".repeat(15_000)];
  const dense = [`[${"[],".repeat(60_000)}1]`, `[${"a,".repeat(60_000)}]`];
  const texts = [
    ...deep.map((text): [string, string] => ["is nested deeper than 100 levels", text]),
    ...dense.map((text): [string, string] => ["has more than 10000 names and values", text]),
  ];
  const override = { ISTIO_BOOTSTRAP_OVERRIDE: "o.yaml" };

  test.each(texts)("%s", (problem, text) => {
    const annotations = new Map([["etc/istio/pod/annotations", `proxy.istio.io/config=${JSON.stringify(text)}\n`]]);
    const merged = { ...override, PROXY_CONFIG: '{"customConfigFile":"custom.yaml"}' };
    const custom = new Map([
      ["o.yaml", "a: b"],
      ["custom.yaml", text],
    ]);
    expect(problems({ env: { PROXY_CONFIG: text } })).toContain(`PROXY_CONFIG: ${problem}`);
    expect(problems({ files: annotations })).toContain(`annotation proxy.istio.io/config: ${problem}`);
    expect(problems({ files: new Map([["etc/istio/config/mesh", text]]) })).toContain(
      `mesh config file ./etc/istio/config/mesh: ${problem}`,
    );
    expect(problems({ env: override, files: new Map([["o.yaml", text]]) })).toContain(
      `ISTIO_BOOTSTRAP_OVERRIDE o.yaml: ${problem}`,
    );
    expect(problems({ env: merged, files: custom })).toContain(
      `ISTIO_BOOTSTRAP_OVERRIDE: cannot be merged into custom.yaml, which ${problem}; make the change in that file`,
    );
  });

  test("metadata is left out with a warning, as by the reference", () => {
    const deepObject = `${'{"a":'.repeat(15_000)}1${"}".repeat(15_000)}`;
    const env = { ISTIO_METAJSON_DEEP: deepObject, ISTIO_METAJSON_GOOD: '{"good":1}' };
    expect(warnings({ env })).toEqual(["ISTIO_METAJSON_DEEP: is nested deeper than 100 levels; it is ignored"]);
    expect(parse({ env }).node.metadata).toMatchObject({ good: 1 });
    const loadStats = { ISTIO_META_LOAD_STATS_CONFIG_JSON: deepObject };
    expect(problems({ env: loadStats })).toEqual(["ISTIO_META_LOAD_STATS_CONFIG_JSON: is not a JSON object"]);
  });
});

describe("files instead of a control plane", () => {
  test("Envoy reads listeners and clusters from the directory, and no xDS cluster is there", () => {
    const names = ["/mesh/lds.yaml", "/mesh/cds.yaml"];
    const files = new Map(names.map((name) => [name, "resources: []"]));
    const { xds, bootstrap } = parse({ env: { ATTACHE_XDS_FILES: "/mesh/", XDS_ROOT_CA: "" }, files });
    expect(xds).toEqual({ kind: "files", directory: "/mesh" });
    expect(bootstrap).toMatchObject({ config: { discovery: { kind: "files", directory: "/mesh" } } });
  });

  test("files that Envoy would not find are named before it starts", () => {
    const input = { env: { ATTACHE_XDS_FILES: "/mesh" }, files: new Map([["/mesh/cds.yaml", "resources: []"]]) };
    expect(() => parse(input)).toThrow("there is no /mesh/lds.yaml; create it");
    expect(() => parse({ env: { ...input.env, DISABLE_ENVOY: "true" } })).not.toThrow();
  });
});

describe("the drain", () => {
  test.each<[string, TestInput, object]>([
    ["waits for ProxyConfig's time", {}, { direction: "inbound", periodMs: 5_000, minimumMs: 5_000 }],
    [
      "is bounded by the pod's grace period",
      { env: { ATTACHE_TERMINATION_GRACE: "30" } },
      { periodMs: 28_700, minimumMs: 5_000 },
    ],
    ["waits for connections", { env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true" } }, { periodMs: 3_600_000 }],
    ["is of all listeners for a gateway", { args: ["router"] }, { direction: "all" }],
    ["may be none", { env: { PROXY_CONFIG: '{"terminationDrainDuration":"0s"}' } }, { periodMs: 0, minimumMs: 0 }],
  ])("%s", (_title, input, expected) => {
    expect(parse(input).envoy.drain).toMatchObject(expected);
  });
});

test("an agent that is root with its DNS proxy on port 53 runs Envoy as its usual user, and lets it reach the sockets", () => {
  const config = parse({ env: { DNS_PROXY_ADDR: "127.0.0.1:53" }, system: { uid: 0, gid: 0 } });
  expect(config.envoy.user).toEqual({ uid: 1337, gid: 1337 });
  expect(config.sds.socketMode).toBe(0o666);
});

describe("the mesh file", () => {
  const meshFile = (...lines: readonly string[]): TestInput => ({
    env: { XDS_ROOT_CA: "SYSTEM", CA_ROOT_CA: "SYSTEM" },
    files: new Map([["etc/istio/config/mesh", `${lines.join("\n")}\n`]]),
  });

  test.each([
    ["connectTimeout: 500us", "field connectTimeout: invalid connect timeout: duration must be greater than 1ms"],
    ["connectTimeout: soon", 'field connectTimeout: must be a duration such as 45s or 1m30s, not the text "soon"'],
    [
      "protocol_detection_timeout: 1.5ms",
      "field protocolDetectionTimeout: invalid protocol detection timeout: only durations to ms precision are supported",
    ],
    [
      "proxyListenPort: 70000",
      "field proxyListenPort: invalid proxy listen port: port number 70000 must be in the range 1..65535",
    ],
    ["trustDomain: a_b", 'field trustDomain: trustDomain: trust domain name "a_b" invalid'],
    [
      "trustDomainAliases: [ok.local, -x]",
      'field trustDomainAliases[1]: trustDomainAliases[1]: trust domain name "-x" invalid',
    ],
    ["trustDomain: ''", 'field trustDomain: trustDomain: trust domain name "" invalid'],
    ["connectTimeout: 61m", "field connectTimeout: invalid connect timeout: it must be 1h or less"],
    ["meshMTLS: {ecdhCurves: [P-256]}", "field meshMTLS: does not support ecdhCurves; set them in tlsDefaults"],
    [
      "serviceSettings: [{hosts: ['*.a.b', 'a*']}]",
      'field serviceSettings[0]: host "a*" is neither a host name nor a wildcard such as *.example.com',
    ],
    [
      "localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}",
      "field localityLbSetting: the localities' weights add up to 99, not 100",
    ],
    [
      "zoneAwareLbSetting: {failover: [{from: a, to: a}]}",
      "field zoneAwareLbSetting: failover must name two different regions",
    ],
  ])("with %s is reported with the field", (line, expected) => {
    expect(problems(meshFile(line))).toEqual([`mesh config file ./etc/istio/config/mesh, ${expected}`]);
  });

  test("of a whole mesh is accepted, what is not the agent's too", () => {
    const lines = [
      "connectTimeout: 10s",
      "protocolDetectionTimeout: 0s",
      "proxyListenPort: 15001",
      "enableTracing: true",
    ];
    expect(problems(meshFile(...lines, "trustDomain: cluster.local", "rootNamespace: istio-system"))).toEqual([]);
  });

  test("has its ProxyConfig under either name", () => {
    expect(parse(meshFile("default_config: {proxyAdminPort: 15005}")).proxyConfig["proxyAdminPort"]).toBe(15_005);
  });

  test("with the old setting of address allocation is warned about", () => {
    const found = warnings(meshFile("defaultConfig: {proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}"));
    expect(found).toEqual([expect.stringMatching(/ISTIO_META_DNS_AUTO_ALLOCATE: is deprecated/)]);
  });
});

describe("metrics for loopback alone", () => {
  test.each([
    ["the variable", { METRICS_LOCALHOST_ACCESS_ONLY: "true" }],
    ["proxyMetadata", { PROXY_CONFIG: '{"proxyMetadata":{"METRICS_LOCALHOST_ACCESS_ONLY":"true"}}' }],
  ])("are one setting for agent and Envoy: %s", (_, env) => {
    const { status, bootstrap, warnings: found } = parse({ env });
    expect(status).toMatchObject({ metricsLocalhostOnly: true });
    expect(bootstrap).toMatchObject({ config: { stats: { localhostOnly: true } } });
    expect(found).toEqual([]);
  });
});

describe("a tracer", () => {
  test("of OpenTelemetry goes into the bootstrap, and not into what is reported to the control plane", () => {
    const { bootstrap, node } = parse({
      env: { HOST_IP: "10.0.0.9", PROXY_CONFIG: '{"tracing":{"openTelemetry":{"address":"$(HOST_IP):4317"}}}' },
    });
    expect(bootstrap).toMatchObject({
      config: { tracer: { kind: "openTelemetry", address: { host: "10.0.0.9", port: 4317 } } },
    });
    expect(JSON.stringify(node.metadata)).not.toContain("openTelemetry");
  });

  test("of OpenTelemetry needs an address", () => {
    expect(problems({ env: { PROXY_CONFIG: '{"tracing":{"openTelemetry":{}}}' } })).toEqual([
      expect.stringMatching(/invalid openTelemetry config: invalid openTelemetry address/),
    ]);
  });

  test("of Lightstep is warned about: Envoy has dropped it", () => {
    const tracing = { lightstep: { address: "l.example:443", accessToken: "t0ken" } };
    const found = warnings({ env: { PROXY_CONFIG: JSON.stringify({ tracing }) } });
    expect(found).toEqual([expect.stringMatching(/^PROXY_CONFIG, field tracing\.lightstep: .*no Lightstep tracer/)]);
  });
});
