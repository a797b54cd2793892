// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import { mergeOverride } from "../../../src/bootstrap/override.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { createEnvoyAdmin } from "../../../src/envoy/running-envoy.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { isJsonObject, type JsonObject, listOf, objectOf, parseJsonObject } from "../../../src/lib/json.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const override: JsonObject = {
  node: { cluster: "mine", metadata: { NAME: { replaced: true }, added: [1, 2] }, locality: { zone: "z" } },
  admin: { address: { pipe: { path: "@admin-of-override-test" } }, profilePath: "/dev/null" },
  staticResources: { clusters: [{ name: "extra", connect_timeout: "3s" }] },
  stats_config: { stats_tags: [{ tag_name: "mine", regex: "x(\\d+)" }], useAllDefaultTags: false },
  stats_flush_interval: "11s",
  layered_runtime: { layers: [{ name: "mine", static_layer: { "a.b": "c" } }] },
};

/** The bootstrap as Envoy says that it understood it. */
async function understood(directory: string, document: JsonObject, more: readonly string[]): Promise<JsonObject> {
  const path = join(directory, "bootstrap.json");
  const addressPath = join(directory, `admin-${String(more.length)}`);
  await writeFile(path, JSON.stringify(document));
  const args = ["-c", path, ...more, "--admin-address-path", addressPath, "--disable-hot-restart", "-l", "error"];
  const envoy = spawn(envoyBinary(), [...args, "--concurrency", "1"], { env: { TMPDIR: tmpdir() }, stdio: "inherit" });
  const exited = once(envoy, "exit");
  try {
    const [host = "", port = ""] = await eventually(
      async () => {
        const address = /^(.+):(\d+)$/.exec(await readFile(addressPath, "utf8"));
        if (address === null) throw new Error("no admin address yet");
        return address.slice(1);
      },
      { withinMs: 10_000 },
    );
    const admin = createEnvoyAdmin({ host, port: Number(port) }, { clock: systemClock });
    const whole = parseJsonObject(await admin.request("GET", "/config_dump"));
    const found = listOf(whole?.["configs"])
      .filter(isJsonObject)
      .find((one) => "bootstrap" in one);
    return objectOf(found?.["bootstrap"]);
  } finally {
    envoy.kill("SIGKILL");
    await exited;
  }
}

test("Envoy understands the merged bootstrap as it understands the bootstrap with the override on its command line", async () => {
  await using directory = await temporaryDirectory();
  const config = parseConfig(testInput({ env: podEnv }));
  if (config.bootstrap.kind !== "generated") throw new Error("not generated");
  // The sockets of this pod are not there; the admin port is any, and has to be known.
  const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
  const generated = renderBootstrap(config.bootstrap.config);
  const { static_resources, ...rest } = generated;
  const base: JsonObject = {
    ...rest,
    admin: { address },
    static_resources: { clusters: objectOf(static_resources)["clusters"] ?? [] },
  };
  const { admin: _, ...withoutAdmin } = override;
  const byEnvoy = await understood(directory.path, base, ["--config-yaml", JSON.stringify(withoutAdmin)]);
  const byAgent = await understood(directory.path, mergeOverride(base, withoutAdmin), []);
  const { command_line_options: _a, ...envoyNode } = objectOf(byEnvoy["node"]);
  const { command_line_options: _b, ...agentNode } = objectOf(byAgent["node"]);
  expect({ ...byAgent, node: agentNode }).toEqual({ ...byEnvoy, node: envoyNode });
  expect(JSON.stringify(byAgent)).toContain('"extra"');
});
