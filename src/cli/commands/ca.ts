// SPDX-License-Identifier: Apache-2.0
import { type EmbeddedCaOptions, startEmbeddedCa } from "../../ca/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { BudgetLog } from "../../lib/budget-log.ts";
import { createBudgets } from "../../lib/budget-set.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { readHostLimits } from "../../lib/host-limits.ts";
import { createLogger } from "../../lib/log/log.ts";
import { createPinoSink } from "../../lib/log/pino-log.ts";
import { writeFileAtomicSync } from "../../lib/fs/atomic-file.ts";
import { untilAborted } from "../../lib/async/tasks.ts";
import { limits } from "../../model/limits.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";

export const command: Command = {
  summary:
    "run the embedded CA: Istio's certificate service over TLS, for development and tests; or print a token for it",
  usage: "[token NAMESPACE/ACCOUNT]",
  get flags() {
    return caFlags;
  },
  examples: [
    { line: "attache ca --token-for default/web", meaning: "serve certificates, and write a token for one workload" },
    { line: "attache ca token default/web", meaning: "print another token of the CA in ./attache-ca" },
  ],
  exitCodes: [
    [0, "stopped, or the token was printed"],
    [69, "the port or the directory cannot be used"],
  ],
  run,
};

const defaultTokenFile = "./istio-token";

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
  "token-for": { type: "strings", default: "", meaning: "NAMESPACE/ACCOUNT to issue a token for; may be repeated" },
  "token-ttl": { type: "string", default: "12h", meaning: "lifetime of the tokens" },
  "token-file": {
    type: "strings",
    default: "",
    meaning: `file for the token, mode 0600; one for each --token-for; default ${defaultTokenFile}, of several ${defaultTokenFile}-NAMESPACE-ACCOUNT; without it, \"ca token\" prints the token`,
  },
} as const satisfies FlagSpecs;

export type CaFlags = ReturnType<typeof parseFlags<typeof caFlags>>["values"];

async function run({ args, print, stop }: CommandContext): Promise<number> {
  const { values, unknown, problems, positionals } = parseFlags(args, caFlags);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  const [action, account, ...others] = positionals;
  const isToken = action === "token";
  if (isToken ? others.length > 0 : action !== undefined) {
    wrong.push(`unexpected ${(isToken ? others : positionals).join(" ")}`);
  }
  if (wrong.length > 0) throw new UsageError("ca", wrong.join("; "), Object.keys(caFlags));
  if (isToken) {
    await mintToken(values, account, print);
    return 0;
  }
  const tokens = tokenTargets(values);

  const log = createLogger(
    await createPinoSink("text"),
    () => systemClock.now(),
    () => new Map(),
  );
  await using budgetLog = new BudgetLog(log, systemClock);
  const budgets = createBudgets(limits, readHostLimits(), budgetLog);
  await using ca = await startEmbeddedCa(parseOptions(values), { log, clock: systemClock, budgets });
  const ttlMs = parseTtl(values, "token-ttl");
  for (const { account: of, path } of tokens) writeFileAtomicSync(path, ca.issueToken({ ...of, ttlMs }), 0o600);
  const written = tokens.map(({ text, path }) => `, token for ${text} in ${path}`).join("");
  print(`listening on ${ca.host}:${String(ca.port)}, root in ${values.directory}/root-cert.pem${written}\n`);
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

interface ServiceAccountName {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Prints a token that a CA with this directory accepts, or writes it to a file. The CA need not be running. */
async function mintToken(values: CaFlags, text: string | undefined, print: CommandContext["print"]): Promise<void> {
  const [path, ...more] = values["token-file"];
  if (text === undefined || values["token-for"].length > 0 || more.length > 0) {
    throw new UsageError("ca", "the form is: attache ca token NAMESPACE/ACCOUNT, with one --token-file at most");
  }
  const account = parseAccount(text);
  const ttlMs = parseTtl(values, "token-ttl");
  const { mintDevelopmentToken } = await import("../../ca/index.ts");
  const request = { ...account, audience: values.audience, ttlMs };
  const token = await mintDevelopmentToken(values.directory, request, systemClock);
  if (path === undefined) print(`${token}\n`);
  else writeFileAtomicSync(path, token, 0o600);
}

/** Which token is written to which file. */
function tokenTargets(values: CaFlags) {
  const accounts = values["token-for"];
  const paths = values["token-file"];
  if (paths.length > 0 && paths.length !== Math.max(1, accounts.length)) {
    const counts = `${String(accounts.length)} --token-for and ${String(paths.length)} --token-file`;
    throw new UsageError("ca", `${counts}: give one --token-file for each --token-for, or none`);
  }
  return accounts.map((text, index) => {
    const account = parseAccount(text);
    const suffix = accounts.length > 1 ? `-${account.namespace}-${account.serviceAccount}` : "";
    return { text, account, path: paths[index] ?? `${defaultTokenFile}${suffix}` };
  });
}

function parseAccount(text: string): ServiceAccountName {
  const [namespace = "", serviceAccount = "", ...rest] = text.split("/");
  if (namespace === "" || serviceAccount === "" || rest.length > 0) {
    throw new UsageError("ca", `a token is for NAMESPACE/ACCOUNT, not ${text}`);
  }
  return { namespace, serviceAccount };
}

function parseTtl(values: CaFlags, name: "default-ttl" | "max-ttl" | "token-ttl"): number {
  const ms = parseGoDuration(values[name]);
  if (ms === undefined || ms <= 0)
    throw new UsageError("ca", `--${name} is a duration such as 1h, not ${values[name]}`);
  return ms;
}
