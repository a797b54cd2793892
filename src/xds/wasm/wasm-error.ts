// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";

interface WasmFetchFailure {
  readonly isPermanent: boolean;
  readonly result?: WasmFetchError["result"];
  readonly cause?: unknown;
}

/** A module could not be fetched. */
export class WasmFetchError extends AgentError {
  readonly code = "AGENT_WASM_FETCH";
  readonly url: string;
  /** Another try would end the same, until somebody changes something. */
  readonly isPermanent: boolean;
  /** As the fetch is counted. */
  readonly result: "checksum_mismatched" | "fetch_failure";
  constructor(url: string, problem: string, more: WasmFetchFailure) {
    super(`fetch the Wasm module ${url}: ${problem}`, { cause: more.cause });
    this.result = more.result ?? "fetch_failure";
    this.url = url;
    this.isPermanent = more.isPermanent;
  }
}
