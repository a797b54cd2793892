// SPDX-License-Identifier: Apache-2.0
import { type EmbeddedCa, type EmbeddedCaOptions, startEmbeddedCa } from "../../ca/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { BudgetLog } from "../../lib/budget-log.ts";
import { createBudgets } from "../../lib/budget-set.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { readHostLimits } from "../../lib/host-limits.ts";
import { createLogger } from "../../lib/log/log.ts";
import { createLogWriter } from "../../lib/log/log-writer.ts";
import { writeFileAtomicSync } from "../../lib/fs/atomic-file.ts";
import { untilAborted } from "../../lib/async/tasks.ts";
import { limits } from "../../model/limits.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";

export const command: Command = {
  summary: "run the embedded CA: Istio's certificate service over TLS, for development and tests",
  get flags() {
    return caFlags;
  },
  run,
};

export const caFlags = {
  listen: {
    type: "string",
    default: "127.0.0.1:15012",
    meaning: "address and port to listen on; port 0 selects a free port",
  },
  directory: { type: "string", default: "./attache-ca", meaning: "directory of the root and the keys, mode 0700" },
  "trust-domain": { type: "string", default: "cluster.local", meaning: "trust domain of the identities to sign" },
  audience: { type: "string", default: "istio-ca", meaning: "audience of the tokens to accept and to issue" },
  "default-ttl": { type: "string", default: "1h", meaning: "lifetime of a certificate if the request specifies none" },
  "max-ttl": { type: "string", default: "24h", meaning: "longest lifetime of a certificate" },
  "server-name": { type: "string", default: "", meaning: "additional name in the server certificate" },
  "token-for": { type: "string", default: "", meaning: "NAMESPACE/ACCOUNT to issue a token for" },
  "token-ttl": { type: "string", default: "12h", meaning: "lifetime of that token" },
  "token-file": { type: "string", default: "./istio-token", meaning: "file to write that token to, mode 0600" },
} as const satisfies FlagSpecs;

type CaFlags = ReturnType<typeof parseFlags<typeof caFlags>>["values"];

async function run({ args, print, stop }: CommandContext): Promise<number> {
  const { values, unknown, problems, positionals } = parseFlags(args, caFlags);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  if (positionals.length > 0) wrong.push(`unexpected ${positionals.join(" ")}`);
  if (wrong.length > 0) throw new UsageError("ca", wrong.join("; "), Object.keys(caFlags));

  const writer = createLogWriter({ format: "text", targets: ["stderr"] });
  const log = createLogger(
    writer.sink,
    () => systemClock.now(),
    () => new Map(),
  );
  await writer.load();
  await using _log = { [Symbol.asyncDispose]: () => writer.end() };
  await using budgetLog = new BudgetLog(log, systemClock);
  const budgets = createBudgets(limits, readHostLimits(), budgetLog);
  await using ca = await startEmbeddedCa(parseOptions(values), { log, clock: systemClock, budgets });
  writeToken(ca, values);
  const account = values["token-for"];
  const token = account === "" ? "" : `, token for ${account} in ${values["token-file"]}`;
  print(`listening on ${ca.host}:${String(ca.port)}, root in ${values.directory}/root-cert.pem${token}\n`);
  await untilAborted(stop);
  return 0;
}

function parseOptions(values: CaFlags): EmbeddedCaOptions {
  const listen = /^\[?([^\]]+)\]?:(\d{1,5})$/.exec(values.listen);
  const port = Number(listen?.[2]);
  if (listen?.[1] === undefined || port > 65_535) {
    throw new UsageError("ca", `--listen is HOST:PORT, not ${values.listen}`);
  }
  return {
    directory: values.directory,
    host: listen[1],
    port,
    serverNames: values["server-name"] === "" ? [] : [values["server-name"]],
    trustDomain: values["trust-domain"],
    audience: values.audience,
    defaultTtlMs: parseTtl(values, "default-ttl"),
    maxTtlMs: parseTtl(values, "max-ttl"),
    backdateMs: 120_000,
    trustedTokenKeysPem: [],
  };
}

function writeToken(ca: EmbeddedCa, values: CaFlags): void {
  if (values["token-for"] === "") return;
  const [namespace = "", serviceAccount = "", ...rest] = values["token-for"].split("/");
  if (namespace === "" || serviceAccount === "" || rest.length > 0) {
    throw new UsageError("ca", `--token-for is NAMESPACE/ACCOUNT, not ${values["token-for"]}`);
  }
  const token = ca.issueToken({ namespace, serviceAccount, ttlMs: parseTtl(values, "token-ttl") });
  writeFileAtomicSync(values["token-file"], token, 0o600);
}

function parseTtl(values: CaFlags, name: "default-ttl" | "max-ttl" | "token-ttl"): number {
  const ms = parseGoDuration(values[name]);
  if (ms === undefined || ms <= 0)
    throw new UsageError("ca", `--${name} is a duration such as 1h, not ${values[name]}`);
  return ms;
}
