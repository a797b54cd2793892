// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../lib/json.ts";
import { renderBootstrap } from "./bootstrap.ts";
import type { BootstrapConfig } from "./bootstrap-config.ts";
import { chmodSync, chownSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";

/** The files that must be there before Envoy, or a gRPC application, starts. */
export interface StartFiles {
  readonly bootstrap:
    | { readonly kind: "generated"; readonly path: string; readonly config: BootstrapConfig }
    | { readonly kind: "file" };
  readonly grpcBootstrap: { readonly path: string; readonly document: JsonObject } | undefined;
  /** No Envoy, and no bootstrap for it. */
  readonly disableEnvoy: boolean;
  /** Whose files Envoy's are; undefined: the agent's own user's. */
  readonly envoy: { readonly user: FileOwner | undefined };
}

/**
 * Writes Envoy's bootstrap, the token of its tracer and the bootstrap of gRPC applications, as far as each is wanted.
 * @throws BootstrapWriteError
 */
export function writeStartFiles({ bootstrap, grpcBootstrap, disableEnvoy, envoy }: StartFiles): void {
  if (bootstrap.kind === "generated" && !disableEnvoy) {
    const { tracer } = bootstrap.config;
    writeBootstrap(bootstrap.path, renderBootstrap(bootstrap.config), envoy.user);
    if (tracer?.kind === "lightstep") writeAccessToken(tracer.accessTokenPath, tracer.accessToken, envoy.user);
  }
  if (grpcBootstrap !== undefined) writeGrpcBootstrap(grpcBootstrap.path, grpcBootstrap.document);
}

/** A generated file cannot be written where it belongs. */
export class BootstrapWriteError extends AgentError {
  readonly code = "AGENT_BOOTSTRAP_WRITE";
  override readonly exitCode = exitCode.unavailable;
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
export function writeBootstrap(path: string, document: JsonObject, owner?: FileOwner): void {
  writeGenerated(path, JSON.stringify(document), 0o600, owner);
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
export function writeAccessToken(path: string, token: string, owner?: FileOwner): void {
  writeGenerated(path, token, 0o600, owner);
}

/** The user that reads a file, where it is not the one that writes it: then the writer is root. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

function writeGenerated(path: string, text: string, mode: number, owner?: FileOwner): void {
  try {
    if (owner !== undefined) makeDirectorySync(dirname(path), 0o711);
    writeFileAtomicSync(path, text, mode);
    if (owner !== undefined) {
      chownSync(path, owner.uid, owner.gid);
      letThrough(dirname(path));
    }
  } catch (error) {
    throw new BootstrapWriteError(path, error);
  }
}

/** Others may pass through the directory to files that are theirs, not look into it. */
function letThrough(directory: string): void {
  const { mode } = statSync(directory);
  if ((mode & 0o001) === 0) chmodSync(directory, (mode & 0o7777) | 0o011);
}
