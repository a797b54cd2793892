// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";

/**
 * How a fetch that failed is counted: by the step that failed; `fetch_failure` is what arrived and is no module, and
 * what nobody was asked for is not counted. Source: Istio's agent, observed
 */
export type FailedFetch = "download_failure" | "manifest_failure" | "checksum_mismatched" | "fetch_failure";

interface WasmFetchFailure {
  readonly isPermanent: boolean;
  readonly result?: FailedFetch | undefined;
  readonly cause?: unknown;
}

/** A module could not be fetched. */
export class WasmFetchError extends AgentError {
  readonly code = "AGENT_WASM_FETCH";
  readonly url: string;
  /** Another try would end the same, until somebody changes something. */
  readonly isPermanent: boolean;
  /** Undefined where nothing was asked for. */
  readonly result: FailedFetch | undefined;
  constructor(url: string, problem: string, more: WasmFetchFailure) {
    super(`fetch the Wasm module ${url}: ${problem}`, { cause: more.cause });
    this.result = more.result;
    this.url = url;
    this.isPermanent = more.isPermanent;
  }
}
