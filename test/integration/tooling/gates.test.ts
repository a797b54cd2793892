// SPDX-License-Identifier: Apache-2.0
import { cp, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const header = "// SPDX-License-Identifier: Apache-2.0\n";

/** A tree with the real gates and little source, in which a gate has something to find or nothing. */
async function plant(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  const configurations = (await readdir(projectRoot, { withFileTypes: true })).filter((entry) => entry.isFile());
  for (const { name } of configurations) await cp(join(projectRoot, name), join(root, name));
  await mkdir(join(root, "scripts"));
  for (const name of ["check.mjs", "licence-headers.mjs"]) {
    await cp(join(projectRoot, "scripts", name), join(root, "scripts", name));
  }
  await symlink(join(projectRoot, "node_modules"), join(root, "node_modules"));
  const sound = {
    "src/main.ts": `${header}import { greet } from "./lib/greet.ts";\n\nawait greet(process.env["USER"] ?? "you");\n`,
    "src/lib/greet.ts": `${header}export function greet(name: string): Promise<void> {\n  return Promise.resolve(process.stdout.write(name)).then(() => undefined);\n}\n`,
  };
  for (const [path, text] of Object.entries({ ...sound, ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await mkdir(join(root, "test"), { recursive: true });
  await runProgram("git", ["init", "--quiet"], { cwd: root });
}

interface Violation {
  readonly title: string;
  readonly gate: string;
  readonly files: Readonly<Record<string, string>>;
  readonly found: RegExp;
}

const violations: readonly Violation[] = [
  {
    title: "an import from a sister module",
    gate: "imports",
    files: {
      "src/sds/planted.ts": `${header}import { other } from "../cert/planted.ts";\n\nexport const planted = other;\n`,
      "src/cert/planted.ts": `${header}export const other = 1;\n`,
    },
    found: /error modules-stay-apart: src\/sds\/planted\.ts → src\/cert\/planted\.ts/,
  },
  {
    title: "an unused export",
    gate: "dead-code",
    files: {
      "src/lib/greet.ts": `${header}export const nobody = 1;\nexport const greet = (name: string): Promise<string> => Promise.resolve(name);\n`,
    },
    found: /nobody\s+src\/lib\/greet\.ts/,
  },
  {
    title: "process.env outside main.ts",
    gate: "lint",
    files: {
      "src/lib/environment.ts": `${header}export const user = (): string | undefined => process.env["USER"];\n`,
    },
    found: /environment\.ts\n.*Only main\.ts reads the environment/,
  },
  {
    title: "a floating promise",
    gate: "lint",
    files: {
      "src/lib/floating.ts": `${header}export function greet(name: string): void {\n  Promise.resolve(name);\n}\n`,
    },
    found: /floating\.ts\n.*no-floating-promises/,
  },
  {
    title: "a timer past the clock, process.exit and a disabled rule without its reason",
    gate: "lint",
    files: {
      "src/lib/timer.ts": `${header}export function greet(): void {\n  setTimeout(() => {\n    process.exit(1);\n  }, 1);\n  console.log(1); // eslint-disable-line no-console\n}\n`,
    },
    found: /timer\.ts\n.*no-restricted-globals\n.*Return the exit code.*\n.*Say why on the same line/,
  },
  {
    title: "code that is not formatted",
    gate: "format",
    files: { "src/lib/unformatted.ts": `${header}export const greet   = 'x'\n` },
    found: /src\/lib\/unformatted\.ts format/,
  },
  {
    title: "a type that does not fit",
    gate: "types",
    files: { "src/lib/type.ts": `${header}export const three: string = 3;\n` },
    found: /src\/lib\/type\.ts\(\d+,\d+\): error TS2322/,
  },
  {
    title: "a source file without its licence",
    gate: "headers",
    files: { "src/lib/unlicensed.ts": "export const greet = 1;\n" },
    found: /src\/lib\/unlicensed\.ts: no line/,
  },
];

test("the gates find every planted violation, and the command fails", { timeout: 300_000 }, async () => {
  await using tree = await temporaryDirectory();
  await plant(tree.path, Object.assign({}, ...violations.map(({ files }) => files)) as Record<string, string>);
  const gates = [...new Set(violations.map(({ gate }) => gate))];
  const { code, stdout, stderr } = await runProgram("node", ["scripts/check.mjs", ...gates], { cwd: tree.path });
  for (const { gate, title, found } of violations) {
    expect.soft(stdout + stderr, title).toMatch(found);
    expect.soft(stdout, title).toContain(`FAIL ${gate} `);
  }
  expect(code).toBe(1);
});

test("a tree without violations passes", { timeout: 300_000 }, async () => {
  await using tree = await temporaryDirectory();
  await plant(tree.path, {});
  const gates = ["headers", "format", "imports", "lint"];
  const { code, stdout, stderr } = await runProgram("node", ["scripts/check.mjs", ...gates], { cwd: tree.path });
  expect(stdout + stderr).not.toMatch(/FAIL/);
  expect(code).toBe(0);
});
