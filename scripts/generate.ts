// SPDX-License-Identifier: Apache-2.0
// Makes src/gen from protos/. With --check, changes nothing and fails when src/gen is not what protos/ gives.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { renderEnvoyApi } from "./envoy-api.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const generated = join(root, "src/gen");

/** No services, no JSON, no registry: messages that can be encoded and decoded, keeping what they do not know. */
const options = [
  "env=node",
  "importSuffix=.ts",
  "outputServices=none",
  "outputJsonMethods=false",
  "outputPartialMethods=true",
  "unknownFields=true",
  "oneof=unions-value",
  "enumsAsLiterals=true",
  "forceLong=number",
  "useOptionals=none",
  "useExactTypes=false",
  "removeEnumPrefix=true",
  "useNullAsOptional=false",
  "emitDefaultValues=json-methods",
];

function generate(output: string): void {
  const template = {
    version: "v2",
    plugins: [
      {
        local: [process.execPath, join(root, "node_modules/ts-proto/protoc-gen-ts_proto")],
        out: output,
        opt: options,
        include_wkt: true,
        include_imports: true,
      },
    ],
  };
  const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
  const args = [buf, "generate", join(root, "protos"), "--template", JSON.stringify(template)];
  execFileSync(process.execPath, args, { stdio: "inherit", cwd: root });
  writeFileSync(join(output, "envoy-api.ts"), renderEnvoyApi(root));
  for (const file of filesIn(output)) {
    if (file === "envoy-api.ts") continue;
    const path = join(output, file);
    const header =
      "// SPDX-License-Identifier: Apache-2.0\n// @ts-nocheck - generated; its types are used, its inside is not judged\n";
    writeFileSync(path, header + readFileSync(path, "utf8").replace(/^\/\/ versions:\n(\/\/ .*\n)+/m, ""));
  }
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .sort();
}

/** The files that are in only one of the two directories, or differ. */
function differences(left: string, right: string): string[] {
  const names = new Set([...filesIn(left), ...filesIn(right)]);
  return [...names].filter((name) => read(join(left, name)) !== read(join(right, name)));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

const scratch = mkdtempSync(join(tmpdir(), "attache-gen-"));
try {
  generate(scratch);
  if (process.argv.includes("--check")) {
    const changed = differences(scratch, generated);
    if (changed.length > 0) {
      console.error(`src/gen differs from what protos/ gives; run: npm run generate\n  ${changed.join("\n  ")}`);
      process.exitCode = 1;
    }
  } else {
    rmSync(generated, { recursive: true, force: true });
    cpSync(scratch, generated, { recursive: true });
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
