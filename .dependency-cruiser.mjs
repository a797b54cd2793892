// SPDX-License-Identifier: Apache-2.0
// The direction of imports: cli -> agent -> modules -> model -> lib. Each rule has the sentence that a newcomer needs.

const modules = [
  "bootstrap",
  "envoy",
  "ca",
  "cert",
  "sds",
  "xds",
  "status",
  "metrics",
  "dns",
  "recorder",
  "host",
  "platform",
  "interception",
];
const module = `^src/(${modules.join("|")})/`;
const moduleWithGen = "^src/(ca|sds|xds|status)/";

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no-circular",
      severity: "error",
      comment: "A circle means that two files are one subject, or that one knows too much: cut it at the type.",
      from: {},
      to: { circular: true },
    },
    {
      name: "modules-stay-apart",
      severity: "error",
      comment:
        "Modules meet in agent/ only. State the interface you need in your own words; share values through model/.",
      from: { path: module },
      to: { path: "^src/", pathNot: ["^src/$1/", "^src/(model|lib|gen)/"] },
    },
    {
      name: "generated-code-where-wire-is-spoken",
      severity: "error",
      comment:
        "Messages of the wire stay in the modules that speak it (ca, sds, xds, gRPC probes in status, the embedded CA).",
      from: { path: "^src/", pathNot: [moduleWithGen, "^src/(gen|dev)/"] },
      to: { path: "^src/gen/" },
    },
    {
      name: "model-is-a-leaf",
      severity: "error",
      comment: "model/ holds values that modules share; it knows none of them.",
      from: { path: "^src/model/" },
      to: { path: "^src/", pathNot: "^src/(model|lib)/" },
    },
    {
      name: "lib-is-a-leaf",
      severity: "error",
      comment: "lib/ has no word of the domain: whatever it needs, it gets as an argument.",
      from: { path: "^src/lib/" },
      to: { path: "^src/", pathNot: "^src/lib/" },
    },
    {
      name: "gen-is-a-leaf",
      severity: "error",
      comment: "Generated code stands alone.",
      from: { path: "^src/gen/" },
      to: { path: "^src/", pathNot: "^src/gen/" },
    },
    {
      name: "config-fills-types-only",
      severity: "error",
      comment: "config/ fills the modules' config types and imports nothing else of them: `import type`.",
      from: { path: "^src/config/" },
      to: { path: "^src/", pathNot: "^src/(config|model|lib)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "config-knows-modules-not-agent",
      severity: "error",
      comment: "config/ comes before the agent; it may name a module's config type, never the agent, the CLI or dev.",
      from: { path: "^src/config/" },
      to: { path: "^src/(agent|cli|dev|diagnosis|main)" },
    },
    {
      name: "agent-takes-config-as-type",
      severity: "error",
      comment: "agent/ is given a complete configuration; it must not read one.",
      from: { path: "^src/agent/" },
      to: { path: "^src/config/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "agent-is-below-cli",
      severity: "error",
      comment: "agent/ composes modules; commands, signals and exit codes are cli/'s.",
      from: { path: "^src/agent/" },
      to: { path: "^src/(cli|dev|diagnosis|main)" },
    },
    {
      name: "diagnosis-is-below-cli",
      severity: "error",
      comment: "diagnosis/ is the composition root of the commands that diagnose; only cli/ imports it.",
      from: { path: "^src/", pathNot: "^src/(cli|diagnosis)/" },
      to: { path: "^src/diagnosis/" },
    },
    {
      name: "diagnosis-uses-public-faces",
      severity: "error",
      comment: "diagnosis/ imports the index.ts of a module, config, model and lib; never the agent or dev.",
      from: { path: "^src/diagnosis/" },
      to: { path: `${module}(?!index\\.ts$)|^src/(agent|dev)/` },
    },
    {
      name: "cli-does-not-enter-modules",
      severity: "error",
      comment:
        "cli/ starts the agent or dev and parses configuration; modules are the agent's business (`attache ca` and `attache istio-iptables` are one module each, `attache explain` shows the bootstrap).",
      from: { path: "^src/(cli/|main\\.ts)", pathNot: "^src/cli/(commands/ca\\.ts|explain/|interception/)" },
      to: { path: module },
    },
    {
      name: "nothing-imports-cli",
      severity: "error",
      comment: "cli/ and main.ts are the top: only main.ts imports cli/, nothing imports main.ts.",
      from: { path: "^src/", pathNot: "^src/(cli/|main\\.ts)" },
      to: { path: "^src/(cli/|main\\.ts)" },
    },
    {
      name: "production-code-is-not-test-code",
      severity: "error",
      comment: "The product must not know its tests or its tools.",
      from: { path: "^src/" },
      to: { path: "^(test|scripts)/" },
    },
    {
      name: "no-development-dependency-in-the-product",
      severity: "error",
      comment: "The bundle contains `dependencies` only; move it there with an ADR, or do without.",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "resolvable",
      severity: "error",
      comment: "An import must lead somewhere.",
      from: {},
      to: { couldNotResolve: true, pathNot: "^(node:)?ffi$" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
