// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../lib/json.ts";
import { renderBootstrap } from "./bootstrap.ts";
import type { BootstrapConfig } from "./bootstrap-config.ts";
import { closeSync, constants, fchmodSync, fstatSync, lstatSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { type FileOwner, writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { adviceOnWriteError } from "../lib/fs/write-advice.ts";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { mergeOverride } from "./override.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";

export interface GeneratedBootstrap {
  readonly config: BootstrapConfig;
  readonly override: JsonObject | undefined;
}

/** A bootstrap that the agent generates, one that it merges, or a file that Envoy reads unchanged. */
export type WrittenBootstrap =
  | ({ readonly kind: "generated" } & GeneratedBootstrap)
  | { readonly kind: "merged"; readonly custom: JsonObject; readonly override: JsonObject }
  | { readonly kind: "file" };

/** The bootstrap as Envoy gets it; undefined for a file that it reads unchanged. */
export function renderMergedBootstrap(bootstrap: WrittenBootstrap): JsonObject | undefined {
  if (bootstrap.kind === "file") return undefined;
  const document = bootstrap.kind === "generated" ? renderBootstrap(bootstrap.config) : bootstrap.custom;
  return bootstrap.override === undefined ? document : mergeOverride(document, bootstrap.override);
}

/** The bootstrap of gRPC applications, which may run as other users. */
export interface GrpcBootstrap {
  readonly path: string;
  readonly mode: number;
  readonly document: JsonObject;
}

/** The files that Envoy or a gRPC application needs at its start. */
export interface StartFiles {
  readonly bootstrap: WrittenBootstrap & { readonly path: string };
  readonly grpcBootstrap: GrpcBootstrap | undefined;
  /** Without Envoy, no bootstrap is written for it. */
  readonly disableEnvoy: boolean;
  /** Envoy's user; undefined: the agent's. */
  readonly envoy: { readonly user: FileOwner | undefined };
}

/**
 * Writes Envoy's bootstrap, the token of its tracer and the bootstrap of gRPC applications, as configured.
 * @returns the bootstrap; undefined for a file that Envoy reads unchanged
 * @throws BootstrapWriteError
 */
export function writeStartFiles({ bootstrap, grpcBootstrap, disableEnvoy, envoy }: StartFiles): JsonObject | undefined {
  const document = renderMergedBootstrap(bootstrap);
  if (document !== undefined && !disableEnvoy) writeBootstrap(bootstrap.path, document, envoy.user);
  if (bootstrap.kind === "generated" && !disableEnvoy) {
    const { tracer } = bootstrap.config;
    if (tracer?.kind === "lightstep") writeAccessToken(tracer.accessTokenPath, tracer.accessToken, envoy.user);
  }
  if (grpcBootstrap !== undefined) writeGrpcBootstrap(grpcBootstrap);
  return document;
}

/** A generated file cannot be written. */
export class BootstrapWriteError extends AgentError {
  readonly code = "AGENT_BOOTSTRAP_WRITE";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  constructor(path: string, cause: unknown) {
    super(`write ${path}: cannot create the file; ${adviceOnWriteError(cause)}`, {
      cause,
    });
    this.path = path;
  }
}

/**
 * Writes Envoy's bootstrap atomically, readable only for Envoy's user.
 * @throws BootstrapWriteError
 */
export function writeBootstrap(path: string, document: JsonObject, owner?: FileOwner): void {
  writeGenerated(path, JSON.stringify(document), 0o600, owner);
}

/** @throws BootstrapWriteError */
function writeGrpcBootstrap({ path, mode, document }: GrpcBootstrap): void {
  writeGenerated(path, JSON.stringify(document, undefined, 2), mode);
}

/**
 * Writes the token that Envoy's tracer reads from a file.
 * @throws BootstrapWriteError
 */
export function writeAccessToken(path: string, token: string, owner?: FileOwner): void {
  writeGenerated(path, token, 0o600, owner);
}

function writeGenerated(path: string, text: string, mode: number, owner?: FileOwner): void {
  try {
    if (owner !== undefined) makeDirectorySync(dirname(path), 0o711);
    writeFileAtomicSync(path, text, mode, owner);
    if (owner !== undefined) letThrough(dirname(path));
  } catch (error) {
    throw new BootstrapWriteError(path, error);
  }
}

/** Lets other users open their files in the directory, but not list it. A link in its place is left as it is. */
function letThrough(directory: string): void {
  if (lstatSync(directory).isSymbolicLink()) return;
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { mode } = fstatSync(descriptor);
    if ((mode & 0o001) === 0) fchmodSync(descriptor, (mode & 0o7777) | 0o011);
  } finally {
    closeSync(descriptor);
  }
}
