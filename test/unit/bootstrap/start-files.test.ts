// SPDX-License-Identifier: Apache-2.0
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BootstrapWriteError, writeStartFiles } from "../../../src/bootstrap/index.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function configIn(directory: string) {
  const tracing = { lightstep: { address: "l:1", accessToken: "t0ken" } };
  const env = {
    ...podEnv,
    PROXY_CONFIG: JSON.stringify({ configPath: directory, tracing }),
    GRPC_XDS_BOOTSTRAP: join(directory, "grpc.json"),
  };
  return parseConfig(testInput({ env }));
}

test("the bootstrap and the tracer's token are for their user alone, that of gRPC applications is for all", async () => {
  await using directory = await temporaryDirectory();
  writeStartFiles(configIn(directory.path));
  const mode = (name: string): number => statSync(join(directory.path, name)).mode & 0o777;
  expect(readdirSync(directory.path).sort()).toEqual(["envoy-rev.json", "grpc.json", "lightstep_access_token.txt"]);
  expect([mode("envoy-rev.json"), mode("lightstep_access_token.txt"), mode("grpc.json")]).toEqual([
    0o600, 0o600, 0o644,
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

test("without Envoy there is no bootstrap for it", async () => {
  await using directory = await temporaryDirectory();
  writeStartFiles({ ...configIn(directory.path), disableEnvoy: true });
  expect(readdirSync(directory.path)).toEqual(["grpc.json"]);
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
