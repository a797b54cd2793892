// SPDX-License-Identifier: Apache-2.0
import { runCli } from "./cli/cli.ts";
import { OutputError } from "./cli/command.ts";
import { listenSignals } from "./cli/signals.ts";
import { endProcess } from "./lib/end-process.ts";
import { exitCode } from "./lib/exit-code.ts";
import { writeAllSync } from "./lib/log/line-output.ts";

const signals = listenSignals(process);
const env: Record<string, string> = {};
for (const [name, value] of Object.entries(process.env)) {
  if (value !== undefined) env[name] = value;
}

let isOutputClosed = false;

void runCli({
  argv: process.argv.slice(2),
  env,
  print: (text) => {
    writeAllSync(
      1,
      text,
      (cause) => {
        throw new OutputError(cause);
      },
      () => {
        isOutputClosed = true;
      },
    );
  },
  isOutputClosed: () => isOutputClosed,
  printError: (text) => {
    writeAllSync(2, text);
  },
  ...signals,
})
  .catch(() => exitCode.internal)
  .then(endProcess);
