// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { renderBootstrap } from "../../src/bootstrap/index.ts";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import type { JsonObject, JsonValue } from "../../src/lib/json.ts";
import { envoyBinary } from "./envoy-binary.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const run = promisify(execFile);

/** Istio's own extension is in no other build of Envoy. */
function withoutIstioExtension(document: JsonObject): JsonObject {
  const { bootstrap_extensions: extensions } = document;
  if (!isList(extensions)) return document;
  const named = (item: JsonValue): boolean => JSON.stringify(item).includes("istio.workload.BootstrapExtension");
  return { ...document, bootstrap_extensions: extensions.filter((item) => !named(item)) };
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Strict: what Envoy does not know is an error here. The output goes to a file, which Envoy may open again. */
const strictly = (args: readonly string[]): readonly string[] =>
  args.filter((arg) => arg !== "--allow-unknown-static-fields");

/** What Envoy says against the bootstrap under the command line that the agent gives it; empty when nothing. */
export async function envoyProblem(config: AgentConfig): Promise<string> {
  if (config.bootstrap.kind !== "generated") return "";
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "envoy.json");
  const tracer = config.bootstrap.config.tracer;
  if (tracer?.kind === "lightstep") await writeFile(join(directory.path, "token"), "token");
  await writeFile(path, JSON.stringify(withoutIstioExtension(renderBootstrap(config.bootstrap.config))));
  const args = ["-c", path, ...strictly(config.envoy.args.slice(2)), "--mode", "validate"];
  const output = join(directory.path, "output");
  try {
    await run("sh", ["-c", 'exec "$@" >output 2>&1', "sh", envoyBinary(), ...args], {
      cwd: directory.path,
      timeout: 20_000,
      killSignal: "SIGKILL",
    });
    return "";
  } catch (error) {
    if (error instanceof Error && "killed" in error && error.killed === true) return "no response within 20 s";
    return (await readFile(output, "utf8")).slice(0, 600);
  }
}
