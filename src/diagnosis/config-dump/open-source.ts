// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { type JsonObject, parseJsonObject } from "../../lib/json.ts";
import { HttpError, type HttpRequest, type HttpStream, requestHttp, streamHttp } from "../../lib/net/http-client.ts";
import { plainExchange } from "../../lib/net/plain-exchange.ts";
import { socketAddress } from "../../model/bootstrap-facts.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import type { DumpSource } from "./dump-source.ts";
import { type EnvoyPages, LiveSource, problemOf } from "./live-source.ts";

export interface OpenOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Limit of each response. */
  readonly mostBytes: number;
}

/** Time for an agent or an Envoy to say what it is. */
const helloMs = 2_000;
/** From a request to the last byte of its response. */
const dumpMs = 120_000;

/** Where Envoy's admin interface is: a URL, or the path of a Unix socket. */
export type AdminTarget = { readonly url: URL } | { readonly socketPath: string };

/**
 * The Envoy behind an address: that of an agent, or of the admin interface itself.
 * @throws ConfigDumpError
 */
export async function openAddress(url: URL, options: OpenOptions): Promise<DumpSource> {
  const hello = await ask({ url }, "/debug/envoy-admin", options);
  if (hello.status === 200) return openAgent(url, parseJsonObject(hello.text) ?? {}, options);
  if (hello.status === 403) {
    const problem = "it serves this to programs in the pod only; run the command there, or use kubectl port-forward";
    throw new ConfigDumpError("refused", `read the configuration at ${url.host}: ${problem}`);
  }
  if (hello.status === 404 && hello.text.trim() === noEnvoy) {
    throw new ConfigDumpError("missing", `read the configuration at ${url.host}: this agent runs without Envoy`);
  }
  const info = await ask({ url }, "/server_info", options);
  if (info.status === 200 && parseJsonObject(info.text)?.["version"] !== undefined) return openAdmin({ url }, options);
  const problem = "neither an agent with debug pages nor Envoy's admin interface";
  throw new ConfigDumpError("missing", `read the configuration at ${url.host}: ${problem}`);
}

/** What an agent says of facts that it does not have. */
const noEnvoy = "not available in this agent";

export function openAdmin(target: AdminTarget, options: OpenOptions): DumpSource {
  return new LiveSource(pagesAt(target, "", options));
}

function openAgent(url: URL, { socketPath }: JsonObject, options: OpenOptions): DumpSource {
  const readAgentLevels = async (): Promise<string> => {
    const { status, text } = await ask({ url }, "/debug/logging", options);
    return status === 200 ? text : "";
  };
  // The agent does not pass on what is on a socket. Who may use it can open it.
  const pages =
    typeof socketPath === "string" ? pagesAt({ socketPath }, "", options) : pagesAt({ url }, "/debug/envoy", options);
  return new LiveSource({ ...pages, readAgentLevels });
}

function pagesAt(target: AdminTarget, prefix: string, { clock, signal, mostBytes }: OpenOptions): EnvoyPages {
  const name = nameOf(target);
  return {
    name,
    readAgentLevels: undefined,
    async get<T>(path: string, read: (response: HttpStream) => Promise<T>): Promise<T> {
      const request: HttpRequest = {
        ...addressOf(target, `${prefix}${path}`),
        method: prefix === "" && path === "/logging" ? "POST" : "GET",
        deadline: { clock, timeoutMs: dumpMs },
        maxBodyBytes: mostBytes,
        exchange: plainExchange,
      };
      try {
        return await streamHttp(request, read, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof HttpError)) throw error;
        if (error.failure === "too-large") throw tooLarge(name, mostBytes, error);
        throw new ConfigDumpError(
          "unreachable",
          `read ${path.split("?")[0] ?? path} of ${name}: ${error.problem}`,
          error,
        );
      }
    },
  };
}

/** @param name of a source */
export function tooLarge(name: string, mostBytes: number, cause?: unknown): ConfigDumpError {
  const limit = `${String(Math.floor(mostBytes / 2 ** 20))} MiB`;
  const cure = "filter by name (--fqdn, --name), or print text, which needs less memory";
  return new ConfigDumpError("too-large", `the configuration of ${name} is larger than ${limit}; ${cure}`, cause);
}

function nameOf(target: AdminTarget): string {
  return "url" in target ? target.url.host : target.socketPath;
}

function addressOf(target: AdminTarget, path: string): Pick<HttpRequest, "url" | "connection"> {
  if ("socketPath" in target) {
    const socketPath = socketAddress(target.socketPath);
    return { url: { host: "localhost", port: 80, path }, connection: () => ({ socketPath }) };
  }
  const { protocol, hostname, port } = target.url;
  const isTls = protocol === "https:";
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const usualPort = isTls ? 443 : 80;
  return {
    url: { scheme: isTls ? "https" : "http", host, port: port === "" ? usualPort : Number(port), path },
  };
}

async function ask(
  target: AdminTarget,
  path: string,
  { clock, signal }: OpenOptions,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { accept: "application/json" };
  const request = {
    ...addressOf(target, path),
    headers,
    deadline: { clock, timeoutMs: helloMs },
    exchange: plainExchange,
  };
  try {
    const response = await requestHttp(request, signal);
    return { status: response.status, text: response.text() };
  } catch (error) {
    signal.throwIfAborted();
    throw new ConfigDumpError("unreachable", `nothing responds at ${nameOf(target)}: ${problemOf(error)}`);
  }
}
