// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseAppProbes } from "../../../../src/config/sections/app-probes.ts";
import { ConfigError, Findings } from "../../../../src/config/config-error.ts";

const key = "/app-health/web/livez";

/** The problems that are found, or undefined. */
function problems(text: string): readonly string[] | undefined {
  const findings = new Findings();
  parseAppProbes(text, findings);
  try {
    findings.assertValid();
    return undefined;
  } catch (error) {
    return error instanceof ConfigError ? error.problems.map(({ source, message }) => `${source}: ${message}`) : [];
  }
}

function probe(value: unknown, path = key) {
  const findings = new Findings();
  const parsed = parseAppProbes(JSON.stringify({ [path]: value }), findings);
  findings.assertValid();
  return parsed[path];
}

test.each([
  ["P1 not JSON", "{a", "failed to decode"],
  ["P1 not an object", "[]", "failed to decode"],
  ["P2 a key of another form", '{"abc":{"httpGet":{"port":1}}}', "invalid path"],
  ["P2 a key with a deeper path", '{"/app-health/a/b/livez":{"httpGet":{"port":1}}}', "invalid path"],
  ["P3 an exec probe", `{"${key}":{"exec":{"command":["true"]}}}`, "invalid prober type"],
  [
    "P4 two kinds",
    `{"${key}":{"httpGet":{"port":1},"tcpSocket":{"port":1}}}`,
    "must be one of type httpGet, tcpSocket or gRPC",
  ],
  [
    "P4 gRPC and HTTP",
    `{"${key}":{"httpGet":{"port":1},"grpc":{"port":1}}}`,
    "must be one of type httpGet, tcpSocket or gRPC",
  ],
  ["P5 a named HTTP port", `{"${key}":{"httpGet":{"port":"http"}}}`, "must be int type"],
  ["P5 a named TCP port", `{"${key}":{"tcpSocket":{"port":"80"}}}`, "must be int type"],
  ["a probe that is null", `{"${key}":null}`, "invalid prober type"],
])("%s is rejected, naming the variable and the member", (_name, text, message) => {
  const [problem = "", ...others] = problems(text) ?? [];
  expect(problem).toContain("ISTIO_KUBE_APP_PROBERS");
  expect(problem).toContain(message);
  expect(others).toEqual([]);
});

test("every problem is reported at the same time", () => {
  expect(problems(`{"abc":{"httpGet":{"port":1}},"${key}":{"exec":{}}}`)).toHaveLength(2);
});

test.each([
  [{ tcpSocket: { port: 80 } }, { handler: { kind: "tcp", port: 80 }, timeoutMs: 1_000 }],
  [{ httpGet: { port: 80 } }, { handler: { kind: "http", scheme: "http", port: 80, path: "/" } }],
  [{ httpGet: { port: 80, path: "a?b=c" } }, { handler: { path: "/a?b=c" } }],
  [
    { httpGet: { port: 80, path: "", scheme: "https" }, timeoutSeconds: 3 },
    { handler: { scheme: "https" }, timeoutMs: 3_000 },
  ],
  [
    {
      httpGet: { port: 80, path: "/", httpHeaders: [{ name: "a", value: "b" }] },
      periodSeconds: 5,
      initialDelaySeconds: 1,
    },
    {},
  ],
  [{ grpc: { port: 80 } }, { handler: { kind: "grpc", port: 80, service: "" } }],
  [{ grpc: { port: 80, service: null } }, { handler: { service: "" } }],
  [
    { grpc: { port: 80, service: "a" }, timeoutSeconds: 0 },
    { handler: { service: "a" }, timeoutMs: 1_000 },
  ],
  [{ gRPC: { port: 80 } }, { handler: { kind: "grpc" } }],
])("P6 %j is accepted", (value, expected) => {
  expect(probe(value)).toMatchObject(expected);
});

test("P6 no probes are no problem, and a lifecycle hook has a limit of its own", () => {
  expect([problems(""), problems("{}")]).toEqual([undefined, undefined]);
  expect(probe({ httpGet: { port: 80 } }, "/app-lifecycle/web/prestopz")?.timeoutMs).toBe(30_000);
});
