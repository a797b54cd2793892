// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:net";
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { type WatchReport, watchFiles } from "../../lib/fs/file-watch.ts";
import { createGrpcServer } from "../../lib/grpc/server.ts";
import { startTask } from "../../lib/async/tasks.ts";
import type { XdsProtocol } from "../protocol/request.ts";
import { adsMethods } from "../upstream/connection.ts";
import { loadEnvoyApi } from "./envoy-api.ts";
import { changesBetween, readResourceFolder, type ResourceChange, type ResourceSet } from "./resource-folder.ts";
import { ResourceProblem } from "./resource-problem.ts";
import { SourceStream, type XdsRejection } from "./source-stream.ts";

export interface XdsSourceOptions {
  /** With the resource files, as for Envoy's filesystem subscriptions. */
  readonly directory: string;
  /** Of loopback. */
  readonly host: string;
  /** 0 takes any. */
  readonly port: number;
  /** Turns a file's text into what is read; keeps line numbers. */
  readonly prepare?: (file: string, text: string) => string;
  /** The folder was read again, and what changed is sent to the clients; nothing, when only comments did. */
  readonly onApplied?: (changes: readonly ResourceChange[]) => void;
  /** A change was refused; what was before stays in force. */
  readonly onRefused?: (problem: ResourceProblem) => void;
  /** A client did not take what it was sent, for a reason that only it can see. */
  readonly onRejected?: (rejection: XdsRejection) => void;
}

export interface XdsSource extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/** An editor writes a file in several steps. */
const debounceMs = 50;
const pollMs = 10_000;

/**
 * A control plane for one folder: serves its resources over ADS, in plaintext, on loopback, and pushes what changes in
 * it. For development: every client gets everything it asks for.
 * @throws ResourceProblem when the folder's files are wrong at the start
 */
export async function startXdsSource(options: XdsSourceOptions, deps: { readonly clock: Clock }): Promise<XdsSource> {
  const api = loadEnvoyApi();
  const prepare = options.prepare ?? ((_file: string, text: string) => text);
  const read = (): Promise<ResourceSet> => readResourceFolder(options.directory, api, prepare);
  let current = await read();
  let lastProblem: string | undefined;
  const streams = new Set<SourceStream>();
  await using stack = new AsyncDisposableStack();
  stack.use(
    watchFolder(options.directory, deps.clock, async (report) => {
      const before = current;
      try {
        current = await read();
      } catch (error) {
        const problem = problemOf(error, options.directory);
        if (report === "event" || problem.message !== lastProblem) options.onRefused?.(problem);
        lastProblem = problem.message;
        return;
      }
      lastProblem = undefined;
      const changes = changesBetween(before, current);
      if (report === "event" || changes.length > 0) options.onApplied?.(changes);
      await Promise.all([...streams].map((stream) => stream.push()));
    }),
  );
  const { port } = await listen(options, stack, deps, (protocol) => ({
    kind: "stream",
    async handle(call) {
      const stream = new SourceStream(
        call,
        protocol,
        () => current,
        (rejection) => options.onRejected?.(rejection),
      );
      streams.add(stream);
      try {
        await stream.run();
      } finally {
        streams.delete(stream);
      }
    },
  }));
  const owned = stack.move();
  return { host: options.host, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A file may vanish while it is read. */
function problemOf(error: unknown, directory: string): ResourceProblem {
  return error instanceof ResourceProblem ? error : new ResourceProblem(directory, 1, describeError(error), error);
}

type HandlerOf = (protocol: XdsProtocol) => Parameters<typeof createGrpcServer>[0]["methods"][string];

async function listen(
  { host, port }: XdsSourceOptions,
  stack: AsyncDisposableStack,
  deps: { readonly clock: Clock },
  handlerOf: HandlerOf,
): Promise<{ readonly port: number }> {
  const listener = createServer({ noDelay: true });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, host, () => {
      listener.off("error", reject);
      resolve();
    });
  });
  stack.defer(async () => {
    await new Promise((resolve) => listener.close(resolve));
  });
  const methods = { [adsMethods.sotw]: handlerOf("sotw"), [adsMethods.delta]: handlerOf("delta") };
  const server = stack.use(createGrpcServer({ methods }, deps));
  listener.on("connection", (socket) => {
    socket.on("error", () => undefined);
    server.accept(socket);
  });
  const address = listener.address();
  return { port: typeof address === "object" && address !== null ? address.port : port };
}

/** Calls back after each report of the watch, one call at a time. */
function watchFolder(
  directory: string,
  clock: Clock,
  onReport: (report: WatchReport) => Promise<void>,
): AsyncDisposable {
  return startTask(
    async (signal) => {
      const reports = watchFiles([directory], { clock, debounceMs, pollMs }, signal);
      for await (const report of reports) await onReport(report);
    },
    () => undefined,
  );
}
