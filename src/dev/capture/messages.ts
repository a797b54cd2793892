// SPDX-License-Identifier: Apache-2.0
import type { PlainAttempt } from "../prove-mtls.ts";
import type { WorkloadName } from "../mesh.ts";

/** Present in the environment of a process of a captured workload, which has a channel to `attache dev`. */
export const workloadVariable = "ATTACHE_DEV_WORKLOAD";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What `attache dev` asks of a process in the network namespace of a workload. */
export type WorkloadRequest =
  /** Comes with a listening socket of another namespace. Its connections go on to `to`, in this one. */
  | { readonly kind: "forward"; readonly to: Endpoint }
  /** Listens on loopback, and replies with the socket. */
  | { readonly kind: "listen"; readonly port: number }
  /** Starts the workload's application on this port of every address. */
  | { readonly kind: "start-app"; readonly workload: WorkloadName; readonly port: number }
  /** A request to api by name, as any program would send it. */
  | { readonly kind: "call-api"; readonly path: string }
  /** Plain HTTP on a TCP connection. */
  | { readonly kind: "attempt-plain-http"; readonly to: Endpoint };

/** The reply to `call-api`. That to `attempt-plain-http` is a `PlainAttempt`; the others have none. */
export interface CapturedCall {
  /** The address that the program is connected to, as the kernel tells it: ADDRESS:PORT. */
  readonly connectedTo: string;
  readonly status: number;
  readonly body: string;
}

export type ToWorkload = WorkloadRequest & { readonly id: number };

export type FromWorkload =
  | { readonly kind: "started" }
  /** The application got a request. */
  | { readonly kind: "seen"; readonly path: string }
  | { readonly kind: "reply"; readonly id: number; readonly value?: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly problem: string };

/*
 * Both ends of the channel are this program: a message has the shape that its sender's type says.
 */

export function parseToWorkload(message: unknown): ToWorkload {
  return message as ToWorkload;
}

export function parseFromWorkload(message: unknown): FromWorkload {
  return message as FromWorkload;
}

export function parseCapturedCall(value: unknown): CapturedCall {
  return value as CapturedCall;
}

export function parsePlainAttempt(value: unknown): PlainAttempt {
  return value as PlainAttempt;
}
