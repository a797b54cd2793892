// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Server } from "node:net";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { type FromWorkload, parseFromWorkload, type ToWorkload, type WorkloadRequest } from "./messages.ts";
import { DevCaptureError } from "./programs.ts";

export interface WorkloadCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Undefined: the group of this process. */
  readonly gid: number | undefined;
  /** Called for each request to the application. */
  readonly onSeen: (path: string) => void;
}

const keptErrorCharacters = 2_000;
const killAfterMs = 2_000;

interface Waiting {
  readonly resolve: (reply: { readonly value: unknown; readonly socket: Server | undefined }) => void;
  readonly reject: (error: Error) => void;
}

/** The channel to a process in a workload's network namespace. Disposing it ends the process. */
export class WorkloadChannel implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<unknown>;
  #lastId = 0;
  #isStopped = false;

  private constructor(child: ChildProcess, onSeen: (path: string) => void, clock: Clock) {
    this.#child = child;
    this.#clock = clock;
    // not "close": with a channel that this side disconnects it may never come
    this.#exited = once(child, "exit").catch(() => undefined);
    void this.#exited.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new DevCaptureError("a process of a workload has ended"));
      this.#waiting.clear();
    });
    child.on("message", (message, socket) => {
      this.#receive(parseFromWorkload(message), socket instanceof Server ? socket : undefined, onSeen);
    });
  }

  /** @throws DevCaptureError when the process cannot be started, with what it printed */
  static async start({ file, args, env, gid, onSeen }: WorkloadCommand, clock: Clock): Promise<WorkloadChannel> {
    // not execa: its channel does not pass sockets
    const child = spawn(file, args, {
      env,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // Ctrl-C reaches this program only, which ends the agents before the network
      detached: true,
      ...(gid === undefined ? {} : { gid }),
    });
    // of a process that was started, its end says enough
    child.on("error", () => undefined);
    let printed = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      printed = `${printed}${text}`.slice(-keptErrorCharacters);
    });
    const channel = new WorkloadChannel(child, onSeen, clock);
    const failure = Promise.race([once(child, "close"), once(child, "error")]).then(([reason]: unknown[]) => {
      const how = reason instanceof Error ? reason.message : `it ended with ${String(reason)}: ${printed.trim()}`;
      throw new DevCaptureError(`start a process in a network namespace with ${file}: ${how}`);
    });
    await Promise.race([channel.#untilStarted(), failure]);
    failure.catch(() => undefined);
    return channel;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves, never rejects, when the process ends without having been stopped. */
  get ended(): Promise<DevCaptureError> {
    const error = new DevCaptureError("a process in a network namespace has ended unexpectedly; start the mesh again");
    return this.#exited.then(() => (this.#isStopped ? new Promise<never>(() => undefined) : error));
  }

  /** @param socket goes to the process @returns the value of its reply @throws DevCaptureError */
  async request(request: WorkloadRequest, socket?: Server): Promise<unknown> {
    const { value } = await this.#send(request, socket);
    return value;
  }

  /** A listening socket on a port of loopback of the namespace. Its connections are accepted in this process. */
  async listen(port: number): Promise<Server> {
    const { socket } = await this.#send({ kind: "listen", port });
    if (socket === undefined) throw new DevCaptureError("a socket was not passed on");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    if (this.#child.connected) this.#child.disconnect();
    using limit = deadline(this.#clock, killAfterMs);
    await orAborted(this.#exited, limit.signal).catch(() => this.#child.kill("SIGKILL"));
    await this.#exited;
  }

  async #untilStarted(): Promise<void> {
    await once(this.#child, "message");
  }

  #send(
    request: WorkloadRequest,
    socket?: Server,
  ): Promise<{ readonly value: unknown; readonly socket: Server | undefined }> {
    this.#lastId += 1;
    const message: ToWorkload = { ...request, id: this.#lastId };
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { resolve, reject });
      this.#child.send(message, socket, {}, (error) => {
        // the other process has the socket now
        socket?.close();
        if (error !== null) reject(new DevCaptureError("send to a workload's process", error));
      });
    });
  }

  #receive(message: FromWorkload, socket: Server | undefined, onSeen: (path: string) => void): void {
    if (message.kind === "started") return;
    if (message.kind === "seen") {
      onSeen(message.path);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "failed") waiting?.reject(new DevCaptureError(message.problem));
    else waiting?.resolve({ value: message.value, socket });
  }
}
