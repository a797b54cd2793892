// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../lib/json.ts";
import type { Findings } from "../config-error.ts";
import type { DocumentParser } from "./documents.ts";

/** The content of a file. */
export type FileContent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly problem: string };

/** Everything that the configuration depends on: the same input gives the same configuration. */
export interface ConfigInput {
  readonly env: Readonly<Record<string, string>>;
  /** The arguments after `proxy`. */
  readonly args: readonly string[];
  readonly readFile: (path: string) => FileContent;
  readonly parseDocument: DocumentParser;
  readonly checkMeshFile: MeshFileCheck;
  readonly system: SystemFacts;
}

/** Reports what is wrong with a mesh file, outside of its ProxyConfig. */
export type MeshFileCheck = (mesh: JsonObject, source: string, findings: Findings) => void;

/** Facts of the machine. */
export interface SystemFacts {
  /** The working directory, which Envoy shares. */
  readonly directory: string;
  /** Interfaces that are up, in the kernel's order. */
  readonly interfaces: readonly NetworkInterface[];
  readonly cpuCount: number;
  readonly uid: number;
  readonly gid: number;
  /** The version of Istio whose agent this one replaces. */
  readonly istioVersion: string;
  /** The SDS sockets at which another gRPC server listens. */
  readonly servedSockets: ReadonlySet<string>;
  /** The addresses of the host names that were looked up; undefined for a name that could not be resolved. */
  readonly resolvedHosts: ReadonlyMap<string, string | undefined>;
  /** Search domains of the resolver. */
  readonly searchDomains: readonly string[];
}

export interface NetworkInterface {
  readonly name: string;
  readonly loopback: boolean;
  readonly addresses: readonly string[];
}
