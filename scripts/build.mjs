// SPDX-License-Identifier: Apache-2.0
// `npm run build`: dist/attache.cjs, one file that needs nothing of node_modules, its source map, and the licences of
// what it contains. Why it has this form: docs/adr/0003-bundling.md.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeBundle } from "./bundle/bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @type {{ version: string }} */
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The commit that is built, or "unknown" outside a work tree of git. */
function readRevision() {
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

/**
 * A reader finds the old file or the new one, never a part.
 * @param {string} name
 * @param {string} text
 */
function writeResult(name, text) {
  const temporary = join(root, "dist", `${name}.${String(process.pid)}.tmp`);
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, join(root, "dist", name));
  } finally {
    rmSync(temporary, { force: true });
  }
}

const revision = process.env["ATTACHE_REVISION"] ?? readRevision();
const { code, map, scripts, licences } = await makeBundle({
  root,
  entry: "src/main.ts",
  agent: "proxy",
  commands: {
    exec: ["src/cli/commands/exec.ts"],
    "istio-iptables": ["src/cli/commands/istio-iptables.ts", "src/cli/interception/run-istio-iptables.ts"],
    proxy: ["src/cli/commands/proxy.ts"],
    request: ["src/cli/commands/request.ts"],
    version: ["src/cli/commands/version.ts"],
    wait: ["src/cli/commands/wait.ts"],
  },
  early: new RegExp(
    "^src/(recorder/(engine-abort|termination-message)|agent/(port-check|budgets|metrics|identity|discovery|envoy-lifecycle|" +
      "hot-restart|log-reopening|platform)|envoy/(taken-ports|running-envoy)|metrics/index|" +
      "cert/(index|root-files)|ca/(index|istio-ca|istio-messages)|sds/index|xds/index|host/index|status/(index|status-server)|" +
      "lib/(start-memory|grpc/client|net/address-check))[.]ts$",
  ),
  packed:
    /^src\/(cli\/(explain\/|output\/|commands\/(bundle|ca|certs|completion|config|dev|doctor|explain|help|log|status)\.ts)|dev\/|diagnosis\/|(ca|xds)\/embedded\/|xds\/wasm\/)/,
  // the schema of Envoy's bootstrap takes 0.4 MB, and is needed for a moment
  transient: /^src\/bootstrap\/schema-check\.ts$/,
  // those of bin/attache that the engine compares
  flags: ["--v8-pool-size=1", "--max-semi-space-size=1", "--max-old-space-size=48"],
  warmUps: {
    request: ["request", "GET", "server_info"],
    version: ["version", "--short"],
    wait: ["wait"],
  },
  define: { ATTACHE_BUILD: JSON.stringify({ version, revision }) },
});
mkdirSync(join(root, "dist"), { recursive: true });
writeResult("LICENSES.txt", licences);
writeResult("attache.cjs.map", JSON.stringify(map));
writeResult("attache.cjs", code);

/** @param {(part: import("./bundle/layout.mjs").Part) => boolean} isCounted */
const kilobytes = (isCounted) => {
  const bytes = scripts.filter(isCounted).reduce((sum, { script }) => sum + script.length, 0);
  return `${String(Math.round(bytes / 1_000))} kB`;
};
const atStart = kilobytes(({ startOf }) => startOf.includes("proxy"));
const early = kilobytes(({ isEarly }) => isEarly);
process.stderr.write(
  `dist/attache.cjs: ${String(Math.round(code.length / 1_000))} kB; the agent begins with ${atStart} of scripts, ` +
    `and has ${early} more until it is ready; plain ${kilobytes(({ place }) => place === "text")}\n`,
);
