// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import type { Paint } from "../../lib/paint.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";
import { outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";
import { readTerminal } from "../output/terminal.ts";

const flags = {
  ...globalFlags,
  ...outputFlags,
  ...addressFlags,
  renew: {
    type: "bool",
    default: "false",
    meaning: "have the agent renew its certificate now, and wait for the new one",
  },
  verify: {
    type: "string",
    default: "",
    meaning: "HOST:PORT of a peer: make a TLS handshake with it as this workload, and say who it is",
  },
  "peer-id": { type: "string", default: "", meaning: "with --verify: the SPIFFE ID that the peer must have" },
  sni: {
    type: "string",
    default: "",
    meaning: "with --verify: the server name to send; if empty, that of the address",
  },
  roots: {
    type: "strings",
    default: "",
    meaning: "file with the roots to verify by, instead of those of the workload or in the file; may be repeated",
  },
} as const satisfies FlagSpecs;

type CertsFlags = ReturnType<typeof parseCommandFlags<typeof flags>>["values"];

export const command: Command = {
  summary: "show certificates and roots of the workload or of files, renew, and verify a peer",
  usage: "[FILE...]",
  flags,
  examples: [
    { line: "attache certs", meaning: "the chain and the roots of the workload, and whether peers accept them" },
    { line: "attache certs --renew", meaning: "a new certificate from the CA, or why there is none" },
    { line: "attache certs --verify localhost:8443", meaning: "who answers there, and why mTLS with it fails" },
  ],
  exitCodes: [
    [0, "everything is valid"],
    [1, "a certificate or a peer is not accepted, it was not renewed, or no agent responded"],
  ],
  note: "--verify presents the workload's certificate where the user may open the agent's SDS socket. The key stays in memory.",
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, env, stop } = context;
  const { values, positionals: files } = parseCommandFlags("certs", args, flags);
  assertOneTask(values, files);
  readOutputFormat("certs", values);
  const { AgentClient } = await import("../../diagnosis/agent-client.ts");
  const agent = new AgentClient(await agentUrl("certs", values.address, env), systemClock);
  const deps = { agent, clock: systemClock };
  if (values.verify !== "") return await verify(values, deps, context);
  if (values.renew) return await renew(values, deps, context);
  const { inspectFiles, inspectWorkload, renderReport } = await import("../../diagnosis/certs/index.ts");
  const reports =
    files.length > 0 ? await inspectFiles(files, values.roots, systemClock) : [await inspectWorkload(deps, stop)];
  const ok = reports.every(({ findings }) => findings.every(({ outcome }) => outcome !== "fail"));
  const value = files.length > 0 ? { ok, files: reports } : { ok, ...reports[0] };
  await output(values, value, (paint) => reports.map((one) => renderReport(one, paint)).join("\n"), context);
  return ok ? exitCode.ok : exitCode.failed;
}

/** One of: files, `--renew`, `--verify`, the workload. */
function assertOneTask(values: CertsFlags, files: readonly string[]): void {
  const { renew: renews, verify: peer, sni, roots } = values;
  const tasks = [files.length > 0, renews, peer !== ""].filter((is) => is).length;
  if (tasks > 1) throw new UsageError("certs", "files, --renew and --verify exclude each other");
  if (peer === "" && (sni !== "" || values["peer-id"] !== "")) {
    throw new UsageError("certs", "--peer-id and --sni need --verify HOST:PORT");
  }
  if (roots.length > 0 && peer === "" && files.length === 0) {
    throw new UsageError("certs", "--roots needs files or --verify HOST:PORT");
  }
}

type Deps = Parameters<typeof import("../../diagnosis/certs/index.ts").inspectWorkload>[0];

async function renew(values: CertsFlags, deps: Deps, context: CommandContext): Promise<number> {
  const { renewWorkload, renderFindings } = await import("../../diagnosis/certs/index.ts");
  const { renewal, findings } = await renewWorkload(deps, context.stop);
  const ok = findings.every(({ outcome }) => outcome === "ok");
  await output(values, { ok, ...renewal, findings }, (paint) => renderFindings(findings, paint), context);
  return ok ? exitCode.ok : exitCode.failed;
}

async function verify(values: CertsFlags, deps: Deps, context: CommandContext): Promise<number> {
  const target = parseHostPort(values.verify);
  if (typeof target === "string") throw new UsageError("certs", `--verify: ${target}`);
  const expectedId = values["peer-id"] === "" ? undefined : values["peer-id"];
  if (expectedId?.startsWith("spiffe://") === false) {
    throw new UsageError("certs", `--peer-id: ${JSON.stringify(expectedId)} is not a SPIFFE ID (spiffe://...)`);
  }
  const { verifyAsWorkload, renderPeer } = await import("../../diagnosis/certs/index.ts");
  const serverName = values.sni === "" ? undefined : values.sni;
  const options = { target, serverName, expectedId, rootFiles: values.roots };
  const { peer, notes } = await verifyAsWorkload(options, deps, context.stop);
  await output(values, { ...peer, notes }, (paint) => renderPeer(peer, notes, paint), context);
  return peer.ok ? exitCode.ok : exitCode.failed;
}

async function output(
  values: CertsFlags,
  value: unknown,
  text: (paint: Paint) => string,
  { env, print }: CommandContext,
): Promise<void> {
  const { paint } = readTerminal(env);
  print(await renderOutput(readOutputFormat("certs", values), value, () => text(paint)));
}
