// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listening } from "../../../support/listening.ts";
import { projectRoot, runProgram } from "../../../support/run-program.ts";

/** Prints how many sockets of a process are seen. */
const script = `import(process.argv[1]).then(async ({ readSocketInodes }) => {
  console.log(String((await readSocketInodes(Number(process.argv[2])))?.size));
});`;

test.runIf(process.getuid?.() === 0)(
  "the sockets of a process with more capabilities are unknown, and not none",
  async () => {
    await using _server = await listening(createServer());
    const words = [
      process.execPath,
      "-e",
      script,
      join(projectRoot, "src/lib/net/socket-table.ts"),
      String(process.pid),
    ];
    const bare = await runProgram("setpriv", ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", ...words]);
    expect(bare).toMatchObject({ code: 0, stdout: "undefined\n" });
    const [program = "", ...rest] = words;
    expect(Number((await runProgram(program, rest)).stdout)).toBeGreaterThan(0);
  },
);
