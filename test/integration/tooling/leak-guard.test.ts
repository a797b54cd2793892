// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const leaks: Readonly<Record<string, { readonly code: string; readonly found: RegExp }>> = {
  child: {
    code: `require("node:child_process").spawn("sleep", ["60"], { stdio: "ignore", detached: true }).unref();`,
    found: /leaves behind: .*process \d+ \(sleep 60\)/,
  },
  orphan: {
    code: `require("node:child_process").execFileSync("sh", ["-c", "sleep 61 >/dev/null 2>&1 &"]);`,
    found: /leaves behind: .*process \d+ \(sleep 61\)/,
  },
  socket: {
    code: `await new Promise((done) => require("node:net").createServer().listen(0, "127.0.0.1", done).unref());`,
    found: /leaves behind: .*socket:\[\d+\]/,
  },
  timer: {
    code: `setTimeout(() => undefined, 60_000);`,
    found: /leaves behind: .*timer made at/,
  },
  directory: {
    code: `require("node:fs").mkdtempSync(require("node:os").tmpdir() + "/left-");`,
    found: /leaves behind: .*temporary file or directory \S+\/left-/,
  },
  nothing: { code: "", found: /1 passed/ },
};

test.each(Object.entries(leaks))("a test that leaks a %s fails its file", async (name, { code, found }) => {
  await using tree = await temporaryDirectory();
  const guard = join(projectRoot, "test/support/leak-guard.ts");
  const vitest = join(projectRoot, "node_modules/vitest/dist/index.js");
  await mkdir(join(tree.path, "test"));
  await writeFile(
    join(tree.path, "vitest.config.mjs"),
    `export default { test: { setupFiles: [${JSON.stringify(guard)}], pool: "forks", include: ["test/*.test.mjs"] } };`,
  );
  await writeFile(
    join(tree.path, "test", "leak.test.mjs"),
    `import { createRequire } from "node:module";
     import { test } from ${JSON.stringify(vitest)};
     const require = createRequire(import.meta.url);
     test("leak", async () => { ${code} });`,
  );
  const { code: exitCode, stdout, stderr } = await runProgram("vitest", ["run"], { cwd: tree.path });
  expect(stdout + stderr).toMatch(found);
  expect(exitCode).toBe(name === "nothing" ? 0 : 1);
});
