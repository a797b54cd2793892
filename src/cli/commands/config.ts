// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, parseCommandFlags } from "../command.ts";
import { outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";
import { readTerminal } from "../output/terminal.ts";

const words = ["clusters", "listeners", "routes", "endpoints", "secrets", "bootstrap", "log", "all", "eds", "ecds"];

const flags = {
  ...outputFlags,
  ...addressFlags,
  "envoy-admin": {
    type: "string",
    default: "",
    meaning: "Envoy's admin interface in place of the agent: PORT, HOST:PORT, URL or the path of a Unix socket",
  },
  file: {
    type: "string",
    short: "f",
    default: "",
    meaning:
      "read a saved config_dump (for endpoints: clusters?format=json), an output of this command, or a bundle; - is stdin",
  },
  diff: {
    type: "string",
    default: "",
    meaning: "show what has changed since a saved FILE, or beside another agent or Envoy: PORT, HOST:PORT or URL",
  },
  fqdn: { type: "string", default: "", meaning: "clusters: part of the name" },
  port: { type: "int", default: "0", meaning: "clusters, listeners, endpoints: the port" },
  direction: {
    type: "string",
    default: "",
    meaning: "clusters: inbound or outbound",
    values: ["inbound", "outbound"],
  },
  subset: { type: "string", default: "", meaning: "clusters: the subset" },
  host: { type: "string", default: "", meaning: "listeners, endpoints: the address (--address of istioctl)" },
  type: {
    type: "string",
    default: "",
    meaning: "listeners: HTTP, TCP, HTTP+TCP or UNKNOWN",
    values: ["HTTP", "TCP", "HTTP+TCP", "UNKNOWN"],
  },
  name: { type: "string", default: "", meaning: "routes: the name of the route configuration" },
  cluster: { type: "string", default: "", meaning: "endpoints: the whole name of the cluster", lookup: "clusters" },
  status: {
    type: "string",
    default: "",
    meaning: "endpoints: the health that the control plane gave",
    values: ["HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED", "UNKNOWN"],
  },
  verbose: {
    type: "bool",
    default: "true",
    meaning: "one row for each filter chain or route; =false: one for each name",
  },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "show the configuration that Envoy uses, in istioctl's columns, and what has changed in it",
  usage: "clusters|listeners|routes|endpoints|secrets|bootstrap|log|all|eds|ecds [FLAGS]",
  words,
  flags,
  note: "Reads Envoy through the agent; where no agent responds, Envoy's admin interface on localhost. Secrets are redacted.",
  examples: [
    { line: "attache config clusters --direction outbound", meaning: "in the pod, or beside a forwarded port 15020" },
    { line: "attache config routes -o json > before.json", meaning: "keep a part of the configuration" },
    { line: "attache config routes --diff before.json", meaning: "what has changed in it since then" },
  ],
  exitCodes: [
    [0, "printed; with --diff: no difference"],
    [1, "the configuration could not be read; with --diff: there is a difference"],
  ],
  run,
};

/** Opening a pipe without a writer cannot be interrupted. At Ctrl-C the command ends without waiting for it. */
async function run(context: CommandContext): Promise<number> {
  return await orAborted(show(context), context.stop);
}

async function show({ args, env, print, printError, stop }: CommandContext): Promise<number> {
  const { values, given, positionals } = parseCommandFlags("config", shortToText(args), flags);
  const format = readOutputFormat("config", values);
  const dump = await import("../../diagnosis/config-dump/index.ts");
  const { readRequest, openRequested } = await import("../config/config-request.ts");
  const request = readRequest(values, { given, positionals });
  const isStreamed = format === "text" && values.diff === "";
  const open = { clock: systemClock, signal: stop, mostBytes: isStreamed ? mostTextBytes : mostKeptBytes };
  const note = (text: string): void => {
    printError(`note: ${escapeControls(text)}\n`);
  };
  const url = await agentUrl("config", values.address, env);
  const source = await openRequested({ ...values, url }, open, { env, note });
  const options = { ...request, keep: !isStreamed, nowMs: systemClock.now() };
  const report =
    request.diff === undefined
      ? await dump.listSections(source, request.sections, options)
      : await dump.compareSections(
          { before: await request.diff(open), after: source },
          request.sections,
          options,
          readTerminal(env).paint,
        );
  report.notes.forEach(note);
  print(await renderOutput(format, report.document, () => report.text));
  return report.isSame ? exitCode.ok : exitCode.failed;
}

/** Rows are printed and forgotten; a document is held as a whole, in several times the size of its text. */
const [mostTextBytes, mostKeptBytes] = [1024 * 2 ** 20, 128 * 2 ** 20];

/** What istioctl calls its tables. */
function shortToText(args: readonly string[]): readonly string[] {
  return args.map((word, index) => {
    const isFormat = /^(-o|--output)$/.test(args[index - 1] ?? "") && word === "short";
    return isFormat ? "text" : word.replace(/^(-o|-o=|--output=)short$/, "$1text");
  });
}
