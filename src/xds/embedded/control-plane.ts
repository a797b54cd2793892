// SPDX-License-Identifier: Apache-2.0
import { startTask } from "../../lib/async/tasks.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { type WatchReport, watchFiles } from "../../lib/fs/file-watch.ts";
import { listenGrpcJs, type ServerMethod } from "../../lib/grpc/grpc-js-server.ts";
import type { XdsProtocol } from "../protocol/request.ts";
import { adsMethods } from "../upstream/connection.ts";
import { ClientStream, type XdsRejection } from "./client-stream.ts";
import { loadEnvoyApi } from "./envoy-api.ts";
import { ResourceFileError } from "./resource-file.ts";
import {
  changesBetween,
  type PrepareFile,
  readResourceFolder,
  type ResourceChange,
  type ResourceSet,
} from "./resource-folder.ts";

export interface ControlPlaneOptions {
  /** Contains resource files, as for Envoy's filesystem subscriptions. */
  readonly directory: string;
  /** An address of loopback. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Default: files are read as they are. */
  readonly prepare?: PrepareFile;
  readonly onEvent?: (event: ControlPlaneEvent) => void;
}

export type ControlPlaneEvent =
  /** The directory was read, and clients are sent what changed. No changes: only comments differ. */
  | { readonly kind: "applied"; readonly changes: readonly ResourceChange[] }
  /** A file is invalid. Clients keep the previous resources. */
  | { readonly kind: "invalid"; readonly problem: ResourceFileError }
  /** A client rejected what it was sent. */
  | { readonly kind: "rejected"; readonly rejection: XdsRejection }
  /** The system does not report changes of the directory. They are found by polling, up to 10 s later. */
  | { readonly kind: "watch-failed"; readonly error: unknown };

export interface ControlPlane extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/** An editor writes a file in several steps. */
const debounceMs = 50;
const pollMs = 10_000;

/**
 * A control plane for one directory. It serves the resources over ADS, in plaintext, on loopback, and pushes every
 * change. For development: every client gets everything it subscribes to.
 * @throws ResourceFileError when a file is invalid at the start
 */
export async function serveControlPlane(
  options: ControlPlaneOptions,
  deps: { readonly clock: Clock },
): Promise<ControlPlane> {
  await using stack = new AsyncDisposableStack();
  const resources = await FolderResources.read(options);
  const streams = new Set<ClientStream>();
  const method = (protocol: XdsProtocol): ServerMethod => ({
    kind: "stream",
    async handle(call) {
      const onRejected = (rejection: XdsRejection): void => options.onEvent?.({ kind: "rejected", rejection });
      const stream = new ClientStream(call, protocol, () => resources.current, onRejected);
      streams.add(stream);
      try {
        await stream.run();
      } finally {
        streams.delete(stream);
      }
    },
  });
  const methods = { [adsMethods.sotw]: method("sotw"), [adsMethods.delta]: method("delta") };
  const { port } = stack.use(await listenGrpcJs({ host: options.host, port: options.port, tls: undefined, methods }));
  const onChange = (): Promise<unknown> => Promise.all([...streams].map((stream) => stream.push()));
  stack.use(startWatch(options, deps.clock, resources, onChange));
  const owned = stack.move();
  return { host: options.host, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Reads the directory again after each report of the watch. Never ends by an error: every failure is an event. */
function startWatch(
  { directory, onEvent }: ControlPlaneOptions,
  clock: Clock,
  resources: FolderResources,
  onChange: () => Promise<unknown>,
): AsyncDisposable {
  const onError = (error: unknown): void => onEvent?.({ kind: "watch-failed", error });
  return startTask(async (signal) => {
    for await (const report of watchFiles([directory], { clock, debounceMs, pollMs, onError }, signal)) {
      if (await resources.refresh(report)) await onChange();
    }
  }, onError);
}

/** The resources of the directory, as of the last time that all its files were valid. */
class FolderResources {
  current: ResourceSet;
  readonly #read: () => Promise<ResourceSet>;
  readonly #options: ControlPlaneOptions;
  #lastProblem: string | undefined;

  private constructor(current: ResourceSet, read: () => Promise<ResourceSet>, options: ControlPlaneOptions) {
    this.current = current;
    this.#read = read;
    this.#options = options;
  }

  static async read(options: ControlPlaneOptions): Promise<FolderResources> {
    const api = loadEnvoyApi();
    const read = (): Promise<ResourceSet> => readResourceFolder(options.directory, api, options.prepare);
    return new FolderResources(await read(), read, options);
  }

  /**
   * Reads the directory again. After a mere poll only news are reported.
   * @returns whether the directory is valid
   */
  async refresh(report: WatchReport): Promise<boolean> {
    const before = this.current;
    try {
      this.current = await this.#read();
    } catch (error) {
      const problem = problemOf(error, this.#options.directory);
      if (report === "event" || problem.message !== this.#lastProblem)
        this.#options.onEvent?.({ kind: "invalid", problem });
      this.#lastProblem = problem.message;
      return false;
    }
    this.#lastProblem = undefined;
    const changes = changesBetween(before, this.current);
    if (report === "event" || changes.length > 0) this.#options.onEvent?.({ kind: "applied", changes });
    return true;
  }
}

/** A file may be removed while the directory is read. */
function problemOf(error: unknown, directory: string): ResourceFileError {
  return error instanceof ResourceFileError ? error : new ResourceFileError(directory, 1, describeError(error), error);
}
