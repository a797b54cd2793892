// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";

/** A module could not be fetched. */
export class WasmFetchError extends AgentError {
  readonly code = "AGENT_WASM_FETCH";
  readonly url: string;
  /** Another try would end the same, until somebody changes something. */
  readonly isPermanent: boolean;
  constructor(url: string, problem: string, more: { readonly isPermanent: boolean; readonly cause?: unknown }) {
    super(`fetch the Wasm module ${url}: ${problem}`, { cause: more.cause });
    this.url = url;
    this.isPermanent = more.isPermanent;
  }
}
