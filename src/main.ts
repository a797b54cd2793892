// SPDX-License-Identifier: Apache-2.0
import { writeSync } from "node:fs";
import { runCli } from "./cli/cli.ts";
import { listenSignals } from "./cli/signals.ts";

const signals = listenSignals(process);
const env: Record<string, string> = {};
for (const [name, value] of Object.entries(process.env)) {
  if (value !== undefined) env[name] = value;
}

void runCli({
  argv: process.argv.slice(2),
  env,
  print: (text) => writeSync(1, text),
  printError: (text) => writeSync(2, text),
  ...signals,
}).then((code) => {
  process.exitCode = code;
});
