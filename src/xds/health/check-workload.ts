// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { connect } from "node:net";
import { HealthCheckRequest, HealthCheckResponse } from "../../gen/grpc/health/v1/health.ts";
import type { Clock } from "../../lib/clock.ts";
import { assertNever } from "../../lib/errors.ts";
import { createGrpcChannel } from "../../lib/grpc/client.ts";
import { orAborted } from "../../lib/tasks.ts";
import type { HealthCheckConfig, HealthCheckMethod } from "./health-check-config.ts";

type Method<Kind extends HealthCheckMethod["kind"]> = Extract<HealthCheckMethod, { readonly kind: Kind }>;

/**
 * Asks the workload once.
 * @throws Error saying why it is not well, or the signal's reason
 */
export async function checkWorkload(
  config: HealthCheckConfig,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  const { method } = config;
  switch (method.kind) {
    case "http":
      return checkHttp(method, config.sourceAddress, signal);
    case "tcp":
      return checkTcp(method, config.sourceAddress, signal);
    case "grpc":
      return checkGrpc(method, deps, signal);
    case "exec":
      return checkExec(method, signal);
    default:
      return assertNever(method);
  }
}

/** Any status from 200 to 399 is well; the workload's certificate is not verified, since nobody says by what. */
async function checkHttp(method: Method<"http">, localAddress: string | undefined, signal: AbortSignal): Promise<void> {
  const { request } = await (method.scheme === "https" ? import("node:https") : import("node:http"));
  const { host, port, path } = method;
  const headers = { "user-agent": "istio-probe/1.0", connection: "close", ...Object.fromEntries(lowerNames(method)) };
  const source = localAddress === undefined ? {} : { localAddress };
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request(
      { host, port, path, headers, signal, ...source, agent: false, rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    sent.once("error", reject);
    sent.end();
  });
  if (status < 200 || status >= 400) throw new Error(`HTTP status ${String(status)}`);
}

function lowerNames({ headers }: Method<"http">): [string, string][] {
  return headers.map(([name, value]) => [name.toLowerCase(), value]);
}

async function checkTcp(
  { host, port }: Method<"tcp">,
  localAddress: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const socket = connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
  try {
    const connected = new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    await orAborted(connected, signal);
  } finally {
    socket.destroy();
  }
}

/** Source: gRPC core, doc/health-checking.md */
async function checkGrpc(method: Method<"grpc">, deps: { readonly clock: Clock }, signal: AbortSignal): Promise<void> {
  const { host, port, service } = method;
  const target = { kind: "tcp", host, port } as const;
  await using channel = createGrpcChannel({ target, authority: `${host}:${String(port)}` }, deps);
  const request = HealthCheckRequest.encode(HealthCheckRequest.fromPartial({ service })).finish();
  const answer = HealthCheckResponse.decode(await channel.unary("/grpc.health.v1.Health/Check", request, { signal }));
  if (answer.status !== 1) throw new Error(`gRPC health status ${String(answer.status)}, not SERVING`);
}

async function checkExec({ command: [program, ...args] }: Method<"exec">, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    execFile(program, args, { signal, killSignal: "SIGKILL", maxBuffer: 64 * 1024 }, (error, _stdout, stderr) => {
      const said = stderr.trim().split("\n").at(-1) ?? "";
      if (error === null) resolve();
      else
        reject(new Error(`${program}: ${said === "" ? (error.message.split("\n")[0] ?? "") : said}`, { cause: error }));
    });
  });
}
