// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DevMesh, startDevMesh } from "../../support/dev-mesh.ts";
import { eventually } from "../../support/eventually.ts";
import { startProgram } from "../../support/program.ts";

const stack = new AsyncDisposableStack();
let mesh: DevMesh;

beforeAll(async () => {
  mesh = stack.use(await startDevMesh());
}, 60_000);

afterAll(async () => {
  await stack.disposeAsync();
});

async function config(...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  await using program = startProgram(["config", ...args]);
  const { code, stdout, stderr } = await program.exited;
  return { code, stdout, stderr };
}

/** Lines of a table by its columns. */
function cells(stdout: string): readonly (readonly string[])[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {3,}/));
}

test("each part of each of three pods is a table, and a document in two formats", async () => {
  const heads = {
    clusters: ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
    listeners: ["ADDRESSES", "PORT", "MATCH", "DESTINATION"],
    routes: ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"],
    endpoints: ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"],
    secrets: ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"],
    eds: ["NAME", "STATUS", "LOCALITY", "CLUSTER"],
    log: ["PROGRAM", "LOGGER", "LEVEL", "NOTE"],
  };
  for (const port of [mesh.web, mesh.api, mesh.third]) {
    for (const [part, head] of Object.entries(heads)) {
      const { code, stdout, stderr } = await config(part, "--address", port);
      expect([part, code, stderr, cells(stdout)[0]]).toEqual([part, 0, "", head]);
      expect(cells(stdout).length, part).toBeGreaterThan(1);
    }
    const bootstrap = await config("bootstrap", "--address", port);
    expect(bootstrap.stdout).toMatch(/^Istio Version: .*\nEnvoy Version: +1\.\d+\.\d+.*\nNode ID: +sidecar~/);
  }
  const json = await config("all", "--address", mesh.web, "-o", "json");
  const document = JSON.parse(json.stdout) as Record<string, object>;
  expect(Object.keys(document)).toEqual(["bootstrap", "clusters", "listeners", "routes", "secrets", "endpoints"]);
  const yaml = await config("routes", "--address", mesh.web, "-o", "yaml");
  expect(yaml.stdout).toMatch(/^- name: outbound\n {2}virtualHosts:\n/);
}, 60_000);

test("filters leave what they name, and a filter that does not apply is an error", async () => {
  const at = ["--address", mesh.web];
  const only = async (...args: readonly string[]) => cells((await config(...args, ...at)).stdout).slice(1);
  expect((await only("clusters", "--fqdn", "ap")).map(([name]) => name)).toEqual(["api"]);
  expect(await only("cluster", "--direction", "outbound")).toEqual([]);
  const listeners = await only("listeners", "--host", "127.0.0.1", "--type", "http");
  expect(listeners.map((row) => row[3])).toEqual(["Route: outbound"]);
  expect(await only("l", "--port", listeners[0]?.[1] ?? "")).toEqual(listeners);
  expect((await only("routes", "--name", "outbound")).map(([name]) => name)).toEqual(["outbound"]);
  expect(await only("routes", "--name", "out.*")).toEqual([]);
  const endpoints = await only("endpoints", "--cluster", "api", "--status", "healthy");
  expect(endpoints.map((row) => row[3])).toEqual(["api"]);
  for (const [args, problem] of [
    [["routes", "--fqdn", "x"], "--fqdn does not apply to routes, which takes --name"],
    [["listners"], 'unknown part "listners" (did you mean listeners?)'],
    [["clusters", "-o", "jsn"], '--output: "jsn" is not one of text, json, yaml (did you mean json?)'],
    [["listeners", "--address", "0.0.0.0"], "to filter by address use --host 0.0.0.0"],
    [["clusters", "--file", "a", "--envoy-admin", "1"], "--envoy-admin and --file exclude each other"],
  ] as const) {
    const { code, stderr } = await config(...args);
    expect([code, stderr]).toEqual([64, expect.stringContaining(problem)]);
  }
});

async function bundle(name: string): Promise<string> {
  const path = join(mesh.directory, name);
  await using program = startProgram(["bundle", "--address", mesh.web, "--file", path]);
  expect((await program.exited).code).toBe(0);
  return path;
}

test("each part of a bundle is a table", async () => {
  const path = await bundle("parts.tar.gz");
  for (const part of ["clusters", "listeners", "routes", "endpoints", "secrets", "bootstrap", "all", "eds"]) {
    const live = await config(part, "--address", mesh.web);
    expect(await config(part, "--file", path)).toEqual(live);
  }
  expect((await config("log", "--file", path)).stdout).toMatch(
    /^agent +default +info .*\n(.*\n)*envoy +admin +warning /m,
  );
  await writeFile(path, (await readFile(path)).subarray(0, 5_000));
  const cut = await config("clusters", "--file", path);
  expect([cut.code, cut.stderr]).toEqual([
    1,
    expect.stringMatching(/^Error: read .*parts\.tar\.gz: unexpected end of file/),
  ]);
}, 30_000);

test("a changed weight is told between two moments, from a list, all parts, Envoy's own dump and a bundle", async () => {
  const at = ["--address", mesh.web];
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(mesh.directory, name), text);
    return join(mesh.directory, name);
  };
  const dump = await fetch(`http://127.0.0.1:${mesh.webAdmin}/config_dump?include_eds`);
  const files = [
    await file("routes.json", (await config("routes", ...at, "-o", "json")).stdout),
    await file("all.json", (await config("all", ...at, "-o", "json")).stdout),
    await file("dump.json", await dump.text()),
    await bundle("before.tar.gz"),
  ];
  for (const before of files) {
    const same = await config("routes", ...at, "--diff", before);
    expect([same.code, same.stdout]).toEqual([0, `routes: no difference, ${before} -> localhost:${mesh.web}\n`]);
  }
  const path = join(mesh.resources, "web/rds.yaml");
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace("weight: 100", "weight: 73"));
  for (const before of files) {
    await eventually(
      async () => {
        const { code, stdout, stderr } = await config("routes", ...at, "--diff", before);
        expect([code, stderr, stdout]).toEqual([
          1,
          "",
          [
            `routes: 1 changed, ${before} -> localhost:${mesh.web}`,
            "~ outbound",
            "    virtualHosts[api].routes[0].route.weightedClusters.clusters[0].weight: 100 -> 73",
            "",
          ].join("\n"),
        ]);
      },
      { withinMs: 10_000 },
    );
  }
  await writeFile(path, text);
}, 60_000);

test("two pods are compared, by agent or by Envoy's admin interface, in text and as a document", async () => {
  const { code, stdout } = await config("clusters", "--address", mesh.api, "--diff", mesh.web);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^clusters: \d changed, 1 added, 1 removed, localhost:\d+ -> localhost:\d+\n- api\n\+ app\n/);
  const document = await config("secrets", "--address", mesh.api, "--diff", `localhost:${mesh.webAdmin}`, "--json");
  const { sections } = JSON.parse(document.stdout) as { sections: { secrets: { changed: { name: string }[] } } };
  expect(sections.secrets.changed.map(({ name }) => name)).toEqual(["default"]);
});
