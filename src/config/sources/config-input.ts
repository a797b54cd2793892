// SPDX-License-Identifier: Apache-2.0
import type { DocumentParser } from "./documents.ts";

/** What a path holds. */
export type FileContent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly problem: string };

/** Everything that configuration is made of: the same input gives the same configuration. */
export interface ConfigInput {
  readonly env: Readonly<Record<string, string>>;
  /** The words after `proxy`. */
  readonly args: readonly string[];
  readonly readFile: (path: string) => FileContent;
  readonly parseDocument: DocumentParser;
  readonly system: SystemFacts;
}

/** What the machine says. */
export interface SystemFacts {
  /** The working directory, that Envoy shares. */
  readonly directory: string;
  /** Interfaces that are up, in the kernel's order. */
  readonly interfaces: readonly NetworkInterface[];
  readonly cpuCount: number;
  readonly uid: number;
  readonly gid: number;
  /** The version of Istio whose agent this one stands in for. */
  readonly istioVersion: string;
  /** Unix sockets, of those that matter at start, that a gRPC server answers on. */
  readonly servedSockets: ReadonlySet<string>;
  /** Host names that were looked up, with their address; a name without one could not be resolved. */
  readonly resolvedHosts: ReadonlyMap<string, string | undefined>;
  /** The container's memory limit, from its cgroup; undefined when there is none. */
  readonly memoryLimitBytes: number | undefined;
  /** Search domains of the resolver. */
  readonly searchDomains: readonly string[];
}

export interface NetworkInterface {
  readonly name: string;
  readonly loopback: boolean;
  readonly addresses: readonly string[];
}
