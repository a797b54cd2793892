// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../model/node.ts";
import { renderBootstrap } from "./bootstrap.ts";
import type { BootstrapConfig } from "./bootstrap-config.ts";
import { type FileOwner, writeAccessToken, writeBootstrap, writeGrpcBootstrap } from "./bootstrap-file.ts";

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
