// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { type JsonObject, parseJsonObject } from "../lib/json.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import { HttpError, type HttpResponse, type HttpStream, requestHttp, streamHttp } from "../lib/net/http-client.ts";
import { isLoopbackHost } from "../lib/net/ip-address.ts";
import { plainExchange } from "../lib/net/plain-exchange.ts";

/** Host and port of an agent's URL. */
export function hostPortOf({ protocol, hostname, port }: URL): HostPort {
  const usual = protocol === "https:" ? 443 : 80;
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? usual : Number(port) };
}

/** No agent responded at an address. */
export class AgentUnreachableError extends AgentError {
  readonly code = "AGENT_UNREACHABLE";
  override readonly exitCode = exitCode.failed;
  readonly problem: string;
  /** Something accepts connections there, but did not respond in time. */
  readonly isLate: boolean;
  constructor(url: URL, { failure, problem, cause }: HttpError) {
    // of another machine it is not known whether a connection was made
    const isLate = failure === "timeout" && isLoopbackHost(hostPortOf(url).host);
    super(
      isLate
        ? `what listens at ${url.host} does not respond: ${problem}; it is stopped or overloaded: see attache doctor`
        : `no agent responded at ${url.host}: ${problem}; start it, or name the status port of another with --address (a forwarded port works: kubectl port-forward)`,
      { cause },
    );
    this.problem = problem;
    this.isLate = isLate;
  }
}

/** Something else than the expected document came: an error status, or another document. */
export class AgentResponseError extends AgentError {
  readonly code = "AGENT_RESPONSE";
  override readonly exitCode = exitCode.failed;
  readonly status: number;
  constructor(url: URL, path: string, { status, text }: Pick<HttpResponse, "status" | "text">) {
    super(`${path} of the agent at ${url.host}: ${reasonOf(status, text().trim())}`);
    this.status = status;
  }
}

function reasonOf(status: number, text: string): string {
  if (status === 200) return "not a JSON document; this is not an agent, or one of another version";
  if (status === 403) return "only for programs in the pod; run the command there, or use kubectl port-forward";
  if (status === 404 && /^(404 page not found)?$/.test(text))
    return "not found; the agent may be of another version, or run with --profiling=false";
  return `HTTP status ${String(status)}${text === "" ? "" : `: ${text}`}`;
}

export interface AgentRequest {
  /** Includes the query. */
  readonly path: string;
  readonly method?: "GET" | "POST";
  /** Default 2 s. */
  readonly timeoutMs?: number;
  /** Default 16 MiB. */
  readonly maxBodyBytes?: number;
  /** Default `application/json`. */
  readonly accept?: string;
}

const usualTimeoutMs = 2_000;

/** The status port of a running agent, on this machine or forwarded. */
export class AgentClient {
  readonly url: URL;
  readonly #clock: Clock;

  constructor(url: URL, clock: Clock) {
    this.url = url;
    this.#clock = clock;
  }

  /** @returns any response, whatever its status @throws AgentUnreachableError, the signal's reason */
  async request(request: AgentRequest, signal: AbortSignal): Promise<HttpResponse> {
    return await this.#named(() => requestHttp(this.#request(request), signal), signal);
  }

  /** @throws AgentUnreachableError, AgentResponseError unless it is a JSON object, the signal's reason */
  async readJson(path: string, signal: AbortSignal): Promise<JsonObject> {
    const response = await this.request({ path }, signal);
    const document = response.status === 200 ? parseJsonObject(response.text()) : undefined;
    if (document === undefined) throw new AgentResponseError(this.url, path, response);
    return document;
  }

  /** The body as it comes. @throws as `request`, and whatever `read` throws */
  async stream<T>(request: AgentRequest, read: (stream: HttpStream) => Promise<T>, signal: AbortSignal): Promise<T> {
    return await this.#named(() => streamHttp(this.#request(request), read, signal), signal);
  }

  #request({
    path,
    method = "GET",
    timeoutMs = usualTimeoutMs,
    maxBodyBytes,
    accept = "application/json",
  }: AgentRequest) {
    return {
      url: new URL(path, this.url),
      method,
      headers: { accept },
      deadline: { clock: this.#clock, timeoutMs },
      ...(maxBodyBytes === undefined ? {} : { maxBodyBytes }),
      exchange: plainExchange,
    };
  }

  async #named<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HttpError) throw new AgentUnreachableError(this.url, error);
      throw error;
    }
  }
}
