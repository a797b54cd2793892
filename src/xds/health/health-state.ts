// SPDX-License-Identifier: Apache-2.0
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { renderRequest, type XdsProtocol } from "../protocol/request.ts";
import { typeUrls } from "../protocol/type-url.ts";

/** Whether the workload is healthy, for a control plane that keeps it in its registry. */
export type WorkloadHealth =
  | { readonly kind: "healthy" }
  | {
      readonly kind: "unhealthy";
      /** In a few words; never empty. */
      readonly reason: string;
    };

/** The request that reports a state of health. Source: the form observed with Istio 1.31: a type, and an error or none */
export function renderHealthReport(health: WorkloadHealth, protocol: XdsProtocol): Uint8Array {
  const error = health.kind === "healthy" ? {} : { error: { code: GrpcStatus.internal, message: health.reason } };
  return renderRequest({ typeUrl: typeUrls.health, ...error }, protocol);
}
