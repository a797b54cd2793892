// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { readStatusPort } from "../../config/sources/status-port.ts";
import { type JsonObject, parseJsonObject } from "../../lib/json.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import { HttpError, type HttpRequest, type HttpResponse, requestHttp } from "../../lib/net/http-client.ts";
import { plainExchange } from "../../lib/net/plain-exchange.ts";
import { socketAddress } from "../../model/bootstrap-facts.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";

const flags = {
  ...globalFlags,
  "debug-port": {
    type: "int",
    default: "15000",
    meaning:
      "local port to send the request to: 15000 for Envoy's admin interface wherever it is, 15004, 15020 or 15021",
  },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "send an HTTP request to a local port of Envoy or of the agent",
  usage: "METHOD PATH [BODY]",
  flags,
  examples: [
    { line: "attache request GET server_info", meaning: "Envoy's state, from its admin interface" },
    { line: "attache request --debug-port 15020 POST drain", meaning: "in a preStop hook: start the drain" },
  ],
  exitCodes: [
    [0, "the response had a status below 400, or 404"],
    [255, "an error status, or no response"],
  ],
  run,
};

/** Stands for Envoy's admin interface, wherever that is. */
const usualAdminPort = 15_000;
const allowedPorts = [usualAdminPort, 15_004, 15_020, 15_021];
const timeoutMs = 60_000;
/** The longest body that a JavaScript string can hold. */
const maxBodyBytes = 512 * 1024 * 1024 - 24;

/** The response had an error status, or there was none. */
export class RequestError extends AgentError {
  readonly code = "AGENT_REQUEST";
  override readonly exitCode = exitCode.unsuccessful;
}

/** Source: pilot-agent's request command, which tools parse the output of: the body and one newline, nothing else */
async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, positionals } = parseCommandFlags("request", args, flags);
  const [method, path, body = ""] = positionals;
  if (method === undefined || path === undefined) throw new UsageError("request", "needs a method and a path");
  const port = values["debug-port"];
  if (!allowedPorts.includes(port)) {
    throw new UsageError("request", `debug port ${String(port)} is not in allowed list [${allowedPorts.join(" ")}]`);
  }
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method)) throw new RequestError(`invalid method ${JSON.stringify(method)}`);
  const target = path.replace(/^\//, "");
  const admin = port === usualAdminPort ? await movedAdmin(await readStatusPort(env), stop) : undefined;
  const response = await send(
    {
      method,
      ...addressOf(admin, port, target),
      ...(body === "" ? {} : { body }),
      deadline: { clock: systemClock, timeoutMs },
      maxBodyBytes,
      maxRedirects: 10,
      exchange: plainExchange,
    },
    stop,
  );
  if (response.status >= 400 && response.status !== 404) {
    throw new RequestError(`received unsuccessful status code ${String(response.status)}: ${response.text()}`);
  }
  print(response.body);
  print("\n");
  return exitCode.ok;
}

/** Of the agent, which responds at once. */
const askAgentWithinMs = 500;

/** Where the agent says that Envoy's admin interface is; undefined without an agent. */
async function movedAdmin(statusPort: number, stop: AbortSignal): Promise<JsonObject | undefined> {
  const url = { host: "localhost", port: statusPort, path: "/debug/envoy-admin" };
  const deadline = { clock: systemClock, timeoutMs: askAgentWithinMs };
  const response = await requestHttp({ url, deadline, exchange: plainExchange }, stop).catch(() => undefined);
  return response?.status === 200 ? parseJsonObject(response.text()) : undefined;
}

function addressOf(
  admin: JsonObject | undefined,
  givenPort: number,
  target: string,
): Pick<HttpRequest, "connection"> & { readonly url: URL } {
  const usual = new URL(`http://localhost:${String(givenPort)}/${target}`);
  const { socketPath, host, port } = admin ?? {};
  if (typeof socketPath === "string") {
    return { url: usual, connection: () => ({ socketPath: socketAddress(socketPath) }) };
  }
  const isMoved = typeof host === "string" && typeof port === "number" && port !== givenPort;
  return isMoved ? { url: new URL(`http://${formatHostPort({ host, port })}/${target}`) } : { url: usual };
}

async function send(request: HttpRequest & { readonly url: URL }, signal: AbortSignal): Promise<HttpResponse> {
  try {
    return await requestHttp(request, signal);
  } catch (error) {
    const what = `${request.method ?? "GET"} ${request.url.href}`;
    const problem = error instanceof HttpError ? error.problem : describeError(error);
    throw new RequestError(`${what}: ${problem}; is the proxy running in this container?`, { cause: error });
  }
}
