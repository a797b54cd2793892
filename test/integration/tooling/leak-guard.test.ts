// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const leaks: Readonly<Record<string, { readonly code: string; readonly found: RegExp | undefined }>> = {
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
  nothing: { code: "", found: undefined },
};

test("a test that leaks a child, an orphan, a socket, a timer or a directory fails its file, and no other", async () => {
  await using tree = await temporaryDirectory();
  const guard = join(projectRoot, "test/support/leak-guard.ts");
  const vitest = join(projectRoot, "node_modules/vitest/dist/index.js");
  const workers = Object.keys(leaks).length;
  const options = { setupFiles: [guard], pool: "forks", maxWorkers: workers, include: ["test/*.test.mjs"] };
  await mkdir(join(tree.path, "test"));
  await writeFile(join(tree.path, "vitest.config.mjs"), `export default { test: ${JSON.stringify(options)} };`);
  for (const [name, { code }] of Object.entries(leaks)) {
    await writeFile(
      join(tree.path, "test", `${name}.test.mjs`),
      `import { createRequire } from "node:module";
       import { test } from ${JSON.stringify(vitest)};
       const require = createRequire(import.meta.url);
       test("leak", async () => { ${code} });`,
    );
  }
  const args = ["run", "--reporter=json", "--outputFile=report.json"];
  expect((await runProgram("vitest", args, { cwd: tree.path })).code).toBe(1);
  const report = await readFile(join(tree.path, "report.json"), "utf8");
  const { testResults } = JSON.parse(report) as { testResults: readonly Result[] };
  const outcomes = new Map(testResults.map((result) => [basename(result.name, ".test.mjs"), result]));
  for (const [name, { found }] of Object.entries(leaks)) {
    const outcome = outcomes.get(name);
    expect.soft(outcome?.status, name).toBe(found === undefined ? "passed" : "failed");
    if (found !== undefined) expect.soft(outcome?.message, name).toMatch(found);
  }
});

interface Result {
  readonly name: string;
  readonly status: string;
  readonly message: string;
}
