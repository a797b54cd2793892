// SPDX-License-Identifier: Apache-2.0
import { DeadlineError } from "../../lib/async/clock.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { HttpError } from "../../lib/net/http-client.ts";
import { CacheWriteError } from "./cache-file.ts";
import type { RemoteModule } from "./extension.ts";
import { HttpStatusError } from "./http-fetch.ts";
import { NoModuleError } from "./unpack.ts";

/** The step of a fetch that failed; `fetch_failure`: the download is not a module. Source: Istio's agent, observed */
export type FailedFetch = "download_failure" | "manifest_failure" | "checksum_mismatched" | "fetch_failure";

interface WasmFetchFailure {
  /** A retry would fail in the same way. */
  readonly isPermanent: boolean;
  /** Undefined when nothing was requested: such a failure is not counted. */
  readonly result?: FailedFetch | undefined;
  readonly cause?: unknown;
}

/** A module could not be fetched. */
export class WasmFetchError extends AgentError {
  readonly code = "AGENT_WASM_FETCH";
  readonly url: string;
  readonly isPermanent: boolean;
  readonly result: FailedFetch | undefined;
  constructor(url: string, problem: string, { isPermanent, result, cause }: WasmFetchFailure) {
    super(`fetch Wasm module ${url}: ${problem}`, { cause });
    this.url = url;
    this.isPermanent = isPermanent;
    this.result = result;
  }
}

/** The failure of a checksum other than the configured one. */
export function mismatch(module: RemoteModule, actual: string): WasmFetchError {
  const problem = `its checksum is ${actual}, expected ${module.sha256 ?? ""}`;
  return new WasmFetchError(module.url, problem, { isPermanent: true, result: "checksum_mismatched" });
}

/** Network errors, most server errors and a full disk are temporary; a wrong module or address is permanent. */
export function failureOf(url: string, error: unknown, step: FailedFetch): WasmFetchError {
  if (error instanceof WasmFetchError) return error;
  const isNetwork = isNetworkError(error);
  const isTemporaryStatus =
    error instanceof HttpStatusError && error.status >= 500 && ![501, 505, 511].includes(error.status);
  const result = error instanceof NoModuleError ? "fetch_failure" : step;
  return new WasmFetchError(url, describeError(error), {
    isPermanent: !isNetwork && !isTemporaryStatus && !(error instanceof CacheWriteError),
    result: error instanceof CacheWriteError ? undefined : result,
    cause: error,
  });
}

function isNetworkError(error: unknown): boolean {
  if (error instanceof DeadlineError) return true;
  if (!(error instanceof HttpError) || error.systemCode === "EBLOCKED") return false;
  return /^(E[A-Z]+$|ERR_TLS|ERR_SSL|HPE_)/.test(error.systemCode ?? "");
}
