// SPDX-License-Identifier: Apache-2.0
import { writeFileAtomicSync } from "../lib/atomic-file.ts";
import { AgentError } from "../lib/errors.ts";
import type { JsonObject } from "../model/node.ts";

/** A generated file cannot be written where it belongs. */
export class BootstrapWriteError extends AgentError {
  readonly code = "AGENT_BOOTSTRAP_WRITE";
  readonly path: string;
  constructor(path: string, cause: unknown) {
    super(`write ${path}: the file cannot be made; check that its directory exists and is writable for this user`, {
      cause,
    });
    this.path = path;
  }
}

/**
 * Writes Envoy's bootstrap in one step, readable for its user alone. It stays after the end, for inspection.
 * @throws BootstrapWriteError
 */
export function writeBootstrap(path: string, document: JsonObject): void {
  writeGenerated(path, JSON.stringify(document), 0o600);
}

/**
 * Writes the bootstrap of gRPC applications, which run as other users.
 * @throws BootstrapWriteError
 */
export function writeGrpcBootstrap(path: string, document: JsonObject): void {
  writeGenerated(path, JSON.stringify(document, undefined, 2), 0o644);
}

/**
 * Writes the token that Envoy's tracer reads from a file.
 * @throws BootstrapWriteError
 */
export function writeAccessToken(path: string, token: string): void {
  writeGenerated(path, token, 0o600);
}

function writeGenerated(path: string, text: string, mode: number): void {
  try {
    writeFileAtomicSync(path, text, mode);
  } catch (error) {
    throw new BootstrapWriteError(path, error);
  }
}
