// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { TimeSlice } from "../../lib/async/time-slice.ts";
import type { Budget } from "../../lib/budget.ts";
import { describeError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { MemoryShortError } from "../../lib/memory-guard.ts";
import type { Budgets } from "../../model/limits.ts";
import { type XdsProtocol, renderRequest } from "../protocol/request.ts";
import { contentOf, parseResponse } from "../protocol/response.ts";
import { ResponseScanner } from "../protocol/response-scanner.ts";
import { readScanned, type ScannedResponse } from "../protocol/scanned-response.ts";
import {
  type AgentResourceRecording,
  type AgentResourceType,
  type AgentResourceUpdate,
  type OutcomeReport,
  pieceBytes,
  pushResources,
  reportOutcome,
} from "./agent-resource-type.ts";

export interface AgentResourceReceiverOptions extends OutcomeReport {
  readonly protocol: XdsProtocol;
  readonly clock: Clock;
  readonly budgets: Budgets;
  /** Sends a request to the control plane. Does not throw. */
  readonly send: (request: Uint8Array) => void;
  /** Starts to record a response; undefined when it is not to be kept. */
  readonly record: () => AgentResourceRecording | undefined;
  /** Opens a new stream to the control plane. */
  readonly reopen: () => void;
  readonly signal: AbortSignal;
}

/** How long after a rejection for lack of memory the control plane is asked again, at the earliest. */
const retryMs = 10_000;

/** What a response changes, and who waits for its acknowledgement. */
interface ReceivedResponse {
  readonly nonce: string;
  readonly version: string;
  readonly names: ReadonlySet<string>;
  readonly removed: readonly string[];
  readonly recording: AgentResourceRecording | undefined;
}

/** With a collection of the whole heap in the same turn, which large tables cause, below 10 ms. */
const receivingSliceMs = 1;

/**
 * Applies the responses of one agent resource type on one stream to the control plane. A response is read while it is
 * received. While an earlier one is applied, responses are held and then applied together, so that the stream goes on.
 * Each gets its ACK or NACK afterwards.
 */
export class AgentResourceReceiver {
  readonly #type: AgentResourceType;
  readonly #options: AgentResourceReceiverOptions;
  readonly #heldBytes: Budget;
  readonly #maxResources: Budget;
  /** Names of the resources that the agent has. Always empty for state of the world. */
  #accepted: ReadonlySet<string> = new Set();
  #acceptedVersion = "";
  /** Resolves when no response is applied any more. */
  #applying: Promise<void> | undefined;
  #heldResources = new Map<string, Uint8Array>();
  #held: ReceivedResponse[] = [];
  #acceptedCount = 0;
  #isRetrying = false;

  constructor(type: AgentResourceType, options: AgentResourceReceiverOptions) {
    this.#type = type;
    this.#options = options;
    this.#heldBytes = options.budgets.of("xds-held-bytes").child();
    this.#maxResources = options.budgets.of("agent-resources").child();
    options.signal.addEventListener("abort", () => {
      this.#heldBytes[Symbol.dispose]();
    });
  }

  /** Resolves when the response has been read. @throws the error of the stream, or the signal's reason */
  async receive(response: ScannedResponse): Promise<void> {
    const { responseBytes } = this.#type;
    if (!responseBytes.admits(response.length)) {
      for await (const _chunk of response.chunks(() => undefined));
      this.#acknowledge(response.scanner, responseBytes.text);
      return;
    }
    const update = this.#applying === undefined ? await this.#begin() : undefined;
    if (update !== undefined) await this.#stream(response, update);
    else if (this.#heldBytes.tryTake(heldSize(response))) await this.#hold(response);
    else {
      await this.#applying;
      await this.receive(response);
    }
  }

  /** Undefined when the type cannot take a response now: then the held ones are applied when it can. */
  async #begin(): Promise<AgentResourceUpdate | undefined> {
    const { clock, signal } = this.#options;
    const begun = this.#type.begin(signal);
    const update = await Promise.race([begun, clock.delay(0, signal)]);
    if (update !== undefined) return update;
    this.#run(async () => {
      const late = await begun;
      if (this.#held.length > 0) await this.#applyHeld(late);
      else late[Symbol.dispose]();
    });
    return undefined;
  }

  async #stream(response: ScannedResponse, update: AgentResourceUpdate): Promise<void> {
    const recording = this.#options.record();
    try {
      const { names, problem } = await this.#read(response, update, recording);
      const received = { ...factsOf(response, names), recording };
      this.#run(() => this.#commit(update, [received], problem));
    } catch (error) {
      update[Symbol.dispose]();
      recording?.discard();
      throw error;
    }
  }

  /** Reads all of the response; passes it on to the update up to the first problem. */
  async #read(
    response: ScannedResponse,
    update: AgentResourceUpdate,
    recording: AgentResourceRecording | undefined,
  ): Promise<{ readonly names: ReadonlySet<string>; readonly problem: string | undefined }> {
    const { protocol, clock, budgets, signal } = this.#options;
    const names = new Set<string>();
    const handler = {
      onContent: update.push.bind(update),
      onResource: (name: string) => {
        update.endResource(name);
        names.add(name);
        if (!this.#maxResources.admits(names.size)) throw this.#maxResources.spentError();
      },
    };
    const reader = new ResponseScanner(protocol, response.length, budgets.of("xds-text-bytes"), handler);
    const slice = new TimeSlice(clock, signal, receivingSliceMs);
    let problem: string | undefined;
    for await (const chunk of response.chunks(() => undefined)) {
      await recording?.add(chunk);
      for (let at = 0; at < chunk.length && problem === undefined; at += pieceBytes) {
        try {
          reader.push(chunk.subarray(at, at + pieceBytes));
        } catch (error) {
          problem = this.#problemOf(error);
        }
        if (slice.isOver) await slice.next();
      }
    }
    return { names, problem };
  }

  async #hold(response: ScannedResponse): Promise<void> {
    const { protocol, record } = this.#options;
    const recording = record();
    const bytes = await readScanned(response);
    const { scanner } = response;
    if (!this.#maxResources.admits(scanner.resourceCount + scanner.removed.length)) {
      recording?.discard();
      this.#heldBytes.release(heldSize(response));
      this.#acknowledge(scanner, this.#maxResources.text);
      return;
    }
    await recording?.add(bytes);
    if (protocol === "sotw") this.#heldResources.clear();
    const { resources, removed } = parseResponse(bytes, protocol);
    const names = new Set<string>();
    for (const name of removed) this.#heldResources.delete(name);
    for (const [index, { name, any }] of resources.entries()) {
      const key = protocol === "sotw" ? String(index) : name;
      names.add(key);
      this.#heldResources.set(key, contentOf(any));
    }
    this.#held.push({ ...factsOf(response, names), recording });
    if (this.#applying === undefined) this.#run(() => Promise.resolve());
  }

  async #applyHeld(update: AgentResourceUpdate): Promise<void> {
    const { clock, signal } = this.#options;
    const [held, resources] = [this.#held, this.#heldResources];
    const bytes = this.#heldBytes.used;
    this.#held = [];
    this.#heldResources = new Map();
    let problem: string | undefined;
    try {
      await pushResources(update, resources, new TimeSlice(clock, signal));
    } catch (error) {
      problem = this.#problemOf(error);
    }
    await this.#commit(update, held, problem);
    this.#heldBytes.release(bytes);
  }

  /** Applies, and then what was held meanwhile. */
  #run(apply: () => Promise<void>): void {
    const { signal } = this.#options;
    const run = async (): Promise<void> => {
      try {
        await apply();
        while (this.#held.length > 0 && !signal.aborted) await this.#applyHeld(await this.#type.begin(signal));
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        this.#applying = undefined;
      }
    };
    this.#applying = run();
  }

  async #commit(
    update: AgentResourceUpdate,
    responses: readonly ReceivedResponse[],
    problemOfReading: string | undefined,
  ): Promise<void> {
    const states = this.#statesAfter(responses);
    const changed = new Set(responses.flatMap(({ names, removed }) => [...names, ...removed]));
    let problem = problemOfReading;
    try {
      const most = Math.max(...states.map(({ accepted }) => accepted.size));
      if (problem === undefined && !this.#maxResources.admits(most)) throw this.#maxResources.spentError();
      if (problem === undefined) await update.commit(new Set([...this.#accepted].filter((name) => !changed.has(name))));
    } catch (error) {
      problem = describeError(error);
    } finally {
      update[Symbol.dispose]();
    }
    const isAborted = this.#options.signal.aborted;
    for (const [index, response] of responses.entries()) {
      const { accepted, isWhole } = states[index] ?? { accepted: this.#accepted, isWhole: false };
      if (problem === undefined && !isAborted) {
        response.recording?.keep(isWhole);
        this.#accepted = accepted;
        this.#acceptedCount++;
      } else response.recording?.discard();
      if (!isAborted) this.#acknowledge(response, problem);
    }
  }

  #problemOf(error: unknown): string {
    if (error instanceof MemoryShortError) void this.#requestLater();
    return describeError(error);
  }

  /** The control plane does not send again what was rejected. A new stream gets it, when there is memory for it. */
  async #requestLater(): Promise<void> {
    if (this.#isRetrying) return;
    this.#isRetrying = true;
    const acceptedBefore = this.#acceptedCount;
    const { clock, budgets, signal, reopen } = this.#options;
    try {
      do await clock.delay(retryMs, signal);
      while (budgets.memory.isShort());
      if (this.#acceptedCount === acceptedBefore) reopen();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRetrying = false;
    }
  }

  /** The agent's resources after each response, and whether the response has all of them. */
  #statesAfter(responses: readonly ReceivedResponse[]) {
    const isDelta = this.#options.protocol === "delta";
    let names: ReadonlySet<string> = this.#accepted;
    return responses.map((response) => {
      const removed = new Set(response.removed);
      const kept = isDelta ? [...names].filter((name) => !removed.has(name)) : [];
      names = isDelta ? new Set([...kept, ...response.names]) : new Set();
      return { accepted: names, isWhole: kept.every((name) => response.names.has(name)) };
    });
  }

  /** Sends an ACK, or a NACK when there is an error. */
  #acknowledge({ nonce, version }: Pick<ReceivedResponse, "nonce" | "version">, error: string | undefined): void {
    const { typeUrl } = this.#type;
    const { protocol, send } = this.#options;
    if (error === undefined) this.#acceptedVersion = version;
    reportOutcome({ typeUrl, version, error }, this.#options);
    const failure = error === undefined ? {} : { error: { code: GrpcStatus.internal, message: error } };
    send(renderRequest({ typeUrl, nonce, version: this.#acceptedVersion, ...failure }, protocol));
  }
}

/** A held response takes more memory than its bytes when it is short. */
function heldSize({ length }: ScannedResponse): number {
  return Math.max(length, 1_024);
}

function factsOf({ scanner }: ScannedResponse, names: ReadonlySet<string>): Omit<ReceivedResponse, "recording"> {
  const { nonce, version, removed } = scanner;
  return { nonce, version, names, removed };
}
