// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { findEnvoy } from "../../../src/dev/find-envoy.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

async function place(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, "", { mode: 0o755 });
  return path;
}

test("ENVOY_PATH comes first, then PATH, then the newest in the caches", async () => {
  await using root = await temporaryDirectory();
  const env = { PATH: join(root.path, "bin"), HOME: join(root.path, "home") };
  await place(join(root.path, "home/.cache/attache/envoy/1.41.0/envoy"));
  await place(join(root.path, ".cache/envoy/1.9.0/envoy"));
  const cached = await place(join(root.path, ".cache/envoy/1.40.0/envoy"));
  expect(await findEnvoy(env, root.path)).toBe(cached);
  const onPath = await place(join(root.path, "bin/envoy"));
  expect(await findEnvoy(env, root.path)).toBe(onPath);
  const named = await place(join(root.path, "named"));
  expect(await findEnvoy({ ...env, ENVOY_PATH: named }, root.path)).toBe(named);
});

test("an ENVOY_PATH that names no program is not replaced by another Envoy", async () => {
  await using root = await temporaryDirectory();
  await place(join(root.path, "bin/envoy"));
  const env = { PATH: join(root.path, "bin"), ENVOY_PATH: join(root.path, "none") };
  await expect(findEnvoy(env, root.path)).rejects.toThrow(`find Envoy: none at ${root.path}/none; set ENVOY_PATH`);
});
