// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Findings } from "../../../../src/config/config-error.ts";
import { parseScrapeTargets } from "../../../../src/config/sections/scrape-targets.ts";

function parse(value: unknown, statusPort = 15_020): readonly string[] {
  return parsed(value, statusPort).targets;
}

function parsed(value: unknown, statusPort = 15_020) {
  const findings = new Findings();
  const targets = parseScrapeTargets(typeof value === "string" ? value : JSON.stringify(value), statusPort, findings);
  // the pod starts
  findings.assertValid();
  return {
    targets: targets.map(({ scheme, host, port, path }) => `${scheme}://${host}:${String(port)}${path}`),
    warnings: findings.warnings.map(({ source, message }) => `${source}: ${message}`).join("\n"),
  };
}

test.each([
  [{ scrape: "true" }, ["http://localhost:80/metrics"]],
  [{ port: "8080", path: "/prom" }, ["http://localhost:8080/prom"]],
  [{ scrape: "false", port: "15020" }, []],
  [{ scrape: "FALSE", port: "15020" }, []],
  [{ scrape: "0" }, []],
  [{ scrape: "no" }, ["http://localhost:80/metrics"]],
  [{ port: "80", targets: [{ port: "8080" }] }, ["http://localhost:8080/metrics"]],
  [
    { targets: [{ port: "8080", path: "/a?b=c" }, { port: "08081" }] },
    ["http://localhost:8080/a?b=c", "http://localhost:8081/metrics"],
  ],
  [{ targets: [{ port: "1", host: "10.0.0.1", scheme: "HTTPS" }] }, ["https://10.0.0.1:1/metrics"]],
])("M17 %j is scraped at %j", (value, expected) => {
  expect(parse(value)).toEqual(expected);
});

test.each([
  ["one", [{ port: "8080", path: "/a" }], ["8080/a"]],
  ["two", [{ port: "8080", path: "/a" }, { port: "9090" }], ["8080/a", "9090/metrics"]],
  ["no path", [{ port: "8080" }], ["8080/metrics"]],
  ["an empty path", [{ port: "8080", path: "" }], ["8080/metrics"]],
  ["a path without a slash", [{ port: "8080", path: "a" }], ["8080/a"]],
  ["a space in the path", [{ port: "8080", path: "/a b" }], ["8080/a%20b"]],
  ["none at all", [], ["80/metrics"]],
  ["the same port twice", [{ port: "8080" }, { port: "8080", path: "/b" }], ["8080/metrics", "8080/b"]],
  ["a query in the path", [{ port: "8080", path: "/a?b=c&d=%20" }], ["8080/a?b=c&d=%20"]],
])("M15 a list of targets with %s", (_name, targets, expected) => {
  expect(parse({ targets })).toEqual(expected.map((target) => `http://localhost:${target}`));
});

test.each([
  ["an empty port", { targets: [{ port: "8080" }, { port: "" }] }, /"" must be a number from 1 to 65535/, 1],
  ["something that is no target", { targets: [{ port: "8080" }, "9090"] }, /targets must be a list of objects/, 1],
  ["no list", { targets: "8080" }, /targets must be a list of objects/, 0],
  ["a host that ends the line", { targets: [{ port: "1", host: "a\r\nX: y" }] }, /is not a host name or an address/, 0],
])("M15, 24: a list of targets with %s costs that target, with a warning", (_name, value, message, left) => {
  const { targets, warnings } = parsed(value);
  expect(warnings).toMatch(message);
  expect(warnings).toMatch(/left out$/);
  expect(targets).toHaveLength(left);
});

test.each(["15000", "15001", "15004", "15006", "15008", "15020", "015020", "15021", "15053", "15090"])(
  "M16 port %s is not scraped, and the warning says its purpose",
  (port) => {
    const { targets, warnings } = parsed({ port });
    expect(warnings).toMatch(/ISTIO_PROMETHEUS_ANNOTATIONS: port \d+ is reserved for /);
    expect(targets).toEqual([]);
  },
);

test.each(["80", "8080", "9090", "15002", "15007", "15091", "15099"])("M16 port %s is free", (port) => {
  expect(parse({ port })).toEqual([`http://localhost:${port}/metrics`]);
});

test.each([
  [{ port: "abc" }, /"abc" must be a number from 1 to 65535/],
  [{ port: "0" }, /must be a number/],
  [{ port: "70000" }, /must be a number/],
  [{ port: "9999" }, /reserved for the agent's status server/],
  [{ targets: [{ port: "15090" }] }, /15090/],
  ["", /is not a JSON object/],
])("24: a metrics annotation that cannot be read costs the metrics, not the pod: %j", (value, message) => {
  const { targets, warnings } = parsed(value, 9_999);
  expect(warnings).toMatch(message);
  expect(targets).toEqual([]);
});

test("24: a port that is a number is read, with a warning", () => {
  const { targets, warnings } = parsed({ port: 8080 });
  expect(warnings).toMatch(/port must be a string, not 8080; it is read as one/);
  expect(targets).toEqual(["http://localhost:8080/metrics"]);
});
