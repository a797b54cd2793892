// SPDX-License-Identifier: Apache-2.0
import protobuf from "protobufjs";
import type { NamedService } from "../../src/model/name-table.ts";
import type { FakeResource } from "../fakes/fake-control-plane.ts";

/** A service of the mesh, by default from a ServiceEntry. */
export function named(host: string, addresses: readonly string[], more: Partial<NamedService> = {}): NamedService {
  return { host, addresses, registry: "External", shortName: "", namespace: "", altHosts: [], ...more };
}

/** A service of Kubernetes in the domain `svc.cluster.local`. */
export function kubernetes(
  shortName: string,
  namespace: string,
  addresses: readonly string[],
  altHosts: string[] = [],
) {
  const host = `${shortName}.${namespace}.svc.cluster.local`;
  return named(host, addresses, { registry: "Kubernetes", shortName, namespace, altHosts });
}

/** Source: Istio's pkg/dns/proto/nds.proto, by its field numbers */
const schema = protobuf.parse(`
  syntax = "proto3";
  message NameTable {
    message NameInfo {
      repeated string ips = 1;
      string registry = 2;
      string shortname = 3;
      string namespace = 4;
      repeated string alt_hosts = 5;
    }
    map<string, NameInfo> table = 1;
  }`);

/** What a control plane sends for these services. */
export function nameTableResource(services: readonly NamedService[], version = "1"): FakeResource {
  const type = schema.root.lookupType("NameTable");
  const table = services.map(({ host, addresses, registry, shortName, namespace, altHosts }) => {
    return [host, { ips: addresses, registry, shortname: shortName, namespace, altHosts }];
  });
  const value = type.encode(type.fromObject({ table: Object.fromEntries(table) as object })).finish();
  return { name: "", version, value };
}
