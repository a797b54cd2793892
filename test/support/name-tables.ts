// SPDX-License-Identifier: Apache-2.0
import protobuf from "protobufjs";
import { createNames, type Names } from "../../src/dns/index.ts";
import type { LookupTable } from "../../src/dns/lookup-table.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import type { NamedService } from "../../src/model/name-table.ts";
import type { FakeResource } from "../fakes/fake-control-plane.ts";
import { testBudgets } from "./budgets.ts";
import { testLog } from "./test-log.ts";

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

/** No names yet, for a pod in the namespace ns1. */
export function testNames(budgets = testBudgets()): Names {
  const domain = { namespace: "ns1", domain: "svc.cluster.local" };
  return createNames(domain, { ...testLog(), clock: systemClock, random: Math.random, budgets });
}

/** Replaces the names, as a response of the control plane with all services does. */
export async function replaceNames(names: Pick<Names, "begin">, services: Iterable<NamedService>): Promise<void> {
  using update = await names.begin(new AbortController().signal);
  for (const service of services) update.add(service);
  update.endResource("");
  await update.commit(new Set());
}

/** The table of a pod in the namespace ns1. */
export async function lookupTableOf(services: Iterable<NamedService>): Promise<LookupTable> {
  const names = testNames();
  await replaceNames(names, services);
  if (names.lookup.current === undefined) throw new Error("there is no table");
  return names.lookup.current;
}
