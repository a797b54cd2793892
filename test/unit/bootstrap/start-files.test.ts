// SPDX-License-Identifier: Apache-2.0
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BootstrapWriteError, writeStartFiles } from "../../../src/bootstrap/index.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function configIn(directory: string, more: Readonly<Record<string, string>> = {}) {
  const tracing = { lightstep: { address: "l:1", accessToken: "t0ken" } };
  const env = {
    ...podEnv,
    PROXY_CONFIG: JSON.stringify({ configPath: directory, tracing }),
    GRPC_XDS_BOOTSTRAP: join(directory, "grpc.json"),
    ...more,
  };
  return parseConfig(testInput({ env }));
}

test("the bootstraps and the tracer's token are for their user alone", async () => {
  await using directory = await temporaryDirectory();
  writeStartFiles(configIn(directory.path));
  const mode = (name: string): number => statSync(join(directory.path, name)).mode & 0o777;
  expect(readdirSync(directory.path).sort()).toEqual(["envoy-rev.json", "grpc.json", "lightstep_access_token.txt"]);
  expect([mode("envoy-rev.json"), mode("lightstep_access_token.txt"), mode("grpc.json")]).toEqual([
    0o600, 0o600, 0o600,
  ]);
  expect(readFileSync(join(directory.path, "envoy-rev.json"), "utf8")).not.toContain("t0ken");
});

test("a directory that cannot be made is reported with its path, and nothing is left behind", async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, "file"), "");
  const write = (): void => {
    writeStartFiles(configIn(join(directory.path, "file")));
  };
  expect(write).toThrow(BootstrapWriteError);
  expect(readdirSync(directory.path)).toEqual(["file"]);
});

test("without Envoy there is no bootstrap for it, and that of gRPC applications is for all", async () => {
  await using directory = await temporaryDirectory();
  writeStartFiles(configIn(directory.path, { DISABLE_ENVOY: "true" }));
  expect(readdirSync(directory.path)).toEqual(["grpc.json"]);
  expect(statSync(join(directory.path, "grpc.json")).mode & 0o777).toBe(0o644);
});

test.each([
  ["0660", 0o640],
  ["0666", 0o644],
  ["0600", 0o600],
])(
  "the bootstrap of gRPC applications is readable for those who may use a socket of mode %s",
  async (mode, expected) => {
    await using directory = await temporaryDirectory();
    writeStartFiles(configIn(directory.path, { ATTACHE_SDS_SOCKET_MODE: mode }));
    expect(statSync(join(directory.path, "grpc.json")).mode & 0o777).toBe(expected);
  },
);

test("a custom bootstrap is written with its override, for Envoy's user alone, and the custom file stays", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "envoy-rev.json");
  const custom = { node: { id: "mine" }, admin: { access_log_path: "/dev/null" } };
  const bootstrap = { kind: "merged", path, custom, override: { node: { cluster: "s3cret" } } } as const;
  writeStartFiles({ ...configIn(directory.path), bootstrap, grpcBootstrap: undefined });
  expect(readdirSync(directory.path)).toEqual(["envoy-rev.json"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ ...custom, node: { id: "mine", cluster: "s3cret" } });
});

test.runIf(process.getuid?.() === 0)("Envoy's user gets its files, and nothing that a link leads to", async () => {
  await using directory = await temporaryDirectory();
  const victim = join(directory.path, "victim");
  mkdirSync(victim, { mode: 0o700 });
  writeFileSync(join(victim, "secret"), "", { mode: 0o600 });
  symlinkSync("victim", join(directory.path, "link"));
  const path = join(directory.path, "link");
  symlinkSync("secret", join(victim, "envoy-rev.json"));
  const config = configIn(path);
  writeStartFiles({ ...config, envoy: { user: { uid: 1_337, gid: 1_337 } } });
  expect(statSync(join(victim, "secret")).uid).toBe(0);
  expect(lstatSync(join(victim, "envoy-rev.json"))).toMatchObject({ uid: 1_337, gid: 1_337 });
  expect(statSync(victim).mode & 0o777).toBe(0o700);
});
