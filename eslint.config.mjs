// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "eslint/config";
import regexp from "eslint-plugin-regexp";
import tseslint from "typescript-eslint";

const timers = ["setTimeout", "setInterval"];

const environment = {
  selector: "MemberExpression[object.name='process']:matches([property.name='env'], [property.value='env'])",
  message: "Only main.ts reads the environment; it hands it on to config/.",
};
const exit = {
  selector:
    "CallExpression[callee.object.name='process']:matches([callee.property.name='exit'], [callee.property.value='exit'])",
  message: "Return the exit code: lib/end-process.ts ends the process, once the command has closed what it opened.",
};
const globalTimer = {
  selector: "MemberExpression[object.name='globalThis'][property.name=/^set(Timeout|Interval)$/]",
  message: "Wait through the injected Clock.",
};
const assertion = {
  selector:
    "TSAsExpression:not([typeAnnotation.typeName.name='const'])" +
    ":not(FunctionDeclaration[id.name=/^parse/] TSAsExpression)",
  message: "A type assertion belongs into a parseX function, where what it claims was checked.",
};

/** @type {(...without: object[]) => import("eslint").Linter.RulesRecord} */
const syntaxExcept = (...without) => ({
  "no-restricted-syntax": [
    "error",
    ...[environment, exit, globalTimer, assertion].filter((rule) => !without.includes(rule)),
  ],
});

/** @type {import("eslint").Linter.RulesRecord} */
const timersOfNode = {
  "no-restricted-globals": [
    "error",
    ...timers.map((name) => ({ name, message: "Wait through the injected Clock (lib/async/clock.ts)." })),
  ],
  "no-restricted-imports": [
    "error",
    ...["node:timers", "node:timers/promises", "timers", "timers/promises"].map((name) => ({
      name,
      message: "Wait through the injected Clock (lib/async/clock.ts).",
    })),
    { name: "node:process", message: "Use the global; only main.ts reads the environment." },
    { name: "process", message: "Use the global; only main.ts reads the environment." },
  ],
};

/**
 * Text of a peer, a file or the environment may be long and made to be slow: a regular expression takes time that grows
 * with the length of the text, and no faster. What cannot be written so is written without one.
 * @type {import("eslint").Linter.RulesRecord}
 */
const linearExpressions = {
  "regexp/no-super-linear-backtracking": ["error", { report: "potential" }],
  "regexp/no-super-linear-move": ["error", { report: "potential", ignorePartial: false }],
  ...Object.fromEntries(
    [
      "confusing-quantifier",
      "no-contradiction-with-assertion",
      "no-dupe-characters-character-class",
      "no-dupe-disjunctions",
      "no-empty-alternative",
      "no-empty-capturing-group",
      "no-empty-character-class",
      "no-empty-group",
      "no-empty-lookarounds-assertion",
      "no-invalid-regexp",
      "no-lazy-ends",
      "no-misleading-capturing-group",
      "no-misleading-unicode-character",
      "no-missing-g-flag",
      "no-optional-assertion",
      "no-potentially-useless-backreference",
      "no-standalone-backslash",
      "no-trivially-nested-assertion",
      "no-useless-assertions",
      "no-useless-backreference",
      "no-useless-dollar-replacements",
      "optimal-quantifier-concatenation",
      "strict",
    ].map((name) => [`regexp/${name}`, "error"]),
  ),
};

/** A disabled rule says why, after two hyphens on the same line. */
const reasonedDisable = {
  /** @param {import("eslint").Rule.RuleContext} context */
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments()) {
        const isDisable = /^\s*(eslint-disable|@ts-(expect-error|ignore|nocheck))/.test(comment.value);
        if (isDisable && comment.loc && !/(--|: ).*\w{3}/.test(comment.value)) {
          context.report({ loc: comment.loc, message: "Say why on the same line: eslint-disable-... -- reason" });
        }
      }
    },
  }),
};

export default defineConfig(
  { ignores: ["node_modules/", "dist/", "coverage/", ".cache/", "src/gen/", "bin/"] },
  {
    files: ["**/*.ts", "**/*.mjs"],
    extends: [tseslint.configs.strictTypeChecked],
    linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" },
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { attache: { rules: { "reasoned-disable": reasonedDisable } } },
    rules: {
      ...timersOfNode,
      ...syntaxExcept(),
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { ignoreUsingDeclarations: true, varsIgnorePattern: "^_", argsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/only-throw-error": ["error", { allowThrowingUnknown: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "attache/reasoned-disable": "error",
      eqeqeq: "error",
      "max-lines": ["error", 300],
      "no-console": "error",
    },
  },
  {
    files: ["src/**/*.ts"],
    plugins: { regexp },
    rules: linearExpressions,
  },
  {
    files: ["src/**/*.ts"],
    rules: { "max-lines-per-function": ["error", { max: 50, skipBlankLines: true, skipComments: true }] },
  },
  { files: ["src/main.ts"], rules: syntaxExcept(environment) },
  { files: ["src/lib/end-process.ts"], rules: syntaxExcept(exit) },
  { files: ["src/lib/async/clock.ts"], rules: { "no-restricted-globals": "off", "no-restricted-imports": "off" } },
  {
    files: ["test/**/*.ts"],
    rules: {
      ...syntaxExcept(environment, assertion),
      "max-lines": ["error", 500],
      "no-restricted-properties": [
        "error",
        ...["mock", "doMock", "stubGlobal"].map((property) => ({
          object: "vi",
          property,
          message: "No mocks of modules: write a fake that speaks the real protocol (test/fakes/).",
        })),
      ],
      "@typescript-eslint/no-non-null-assertion": "error",
    },
  },
  {
    files: ["test/support/**/*.ts", "test/fixtures/**/*.ts"],
    rules: { "no-restricted-globals": "off", "no-restricted-imports": "off" },
  },
  {
    files: ["scripts/**", "*.config.*", ".dependency-cruiser.mjs"],
    rules: {
      ...syntaxExcept(environment, assertion),
      "no-console": "off",
      "no-restricted-globals": "off",
      "no-restricted-imports": "off",
    },
  },
  // the linter does not see the type that a comment gives to what was parsed
  { files: ["**/*.mjs"], rules: { "@typescript-eslint/no-unsafe-assignment": "off" } },
);
