// SPDX-License-Identifier: Apache-2.0
import type { TimeSlice } from "../lib/async/time-slice.ts";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import type { NamedService } from "../model/name-table.ts";
import { indexBytes } from "./hash-index.ts";
import { LookupTable, type LookupTableOptions, otherNames } from "./lookup-table.ts";
import { ServicePacker } from "./packed-service.ts";
import { ServiceStoreBuilder } from "./service-store.ts";

/** Of the list of positions, for each service. */
const positionBytes = 4;

/**
 * Builds the table that follows another one. What is equal in both is not stored twice: a new version of a large table
 * needs the memory of its changes and of its indexes.
 */
export class LookupTableBuilder {
  readonly #options: LookupTableOptions;
  readonly #tableBytes: Budget;
  readonly #parents: number;
  readonly #previous: LookupTable | undefined;
  readonly #packer = new ServicePacker();
  readonly #store: ServiceStoreBuilder;
  #names = 0;
  #addresses = 0;
  #bytes = 0;
  /** Where the previous table has the service after the last equal one: control planes keep the order. */
  #nextEqual = 0;
  /** Whether each service so far is the previous table's, in the same place. */
  #isUnchanged: boolean;

  constructor(options: LookupTableOptions, budgets: Budgets, previous: LookupTable | undefined) {
    this.#options = options;
    this.#tableBytes = budgets.of("nds-table-bytes");
    this.#parents = budgets.of("dns-parent-names").size;
    this.#previous = previous;
    this.#store = new ServiceStoreBuilder(previous?.store);
    this.#isUnchanged = previous !== undefined;
  }

  /** @throws RangeError when the service is too large; BudgetSpentError when the table is */
  add(service: NamedService): void {
    const packed = this.#packer.pack(service);
    const names = 1 + otherNames(service, this.#options.domain).length;
    this.#names += names;
    this.#addresses += service.addresses.length;
    this.#bytes += packed.length + positionBytes + indexBytes(names + service.addresses.length);
    if (!this.#tableBytes.admits(this.#bytes)) throw this.#tableBytes.spentError();
    const equal = this.#findEqual(packed, service.host);
    if (equal !== undefined) this.#nextEqual = equal + 1;
    if (equal !== this.#store.count) this.#isUnchanged = false;
    this.#store.add(packed, equal);
  }

  endResource(name: string): void {
    this.#store.endResource(name);
  }

  /** Adds the services that the previous table has of these resources. */
  async keep(resources: ReadonlySet<string>, slice: TimeSlice): Promise<void> {
    const store = this.#previous?.store;
    for (const { name, start, end } of store?.resources ?? []) {
      if (store === undefined || !resources.has(name)) continue;
      for (let id = start; id < end; id++) {
        if (store.has(id)) this.add(store.service(id));
        if (slice.isOver) await slice.next();
      }
      this.endResource(name);
    }
  }

  /** @returns the previous table when nothing has changed. @throws the reason of the slice's signal */
  async build(slice: TimeSlice): Promise<LookupTable> {
    const previous = this.#previous;
    const isSame = this.#isUnchanged && this.#store.count === previous?.store.count && this.#store.hasSameResources;
    if (previous !== undefined && isSame) {
      this.discard();
      return previous;
    }
    const store = this.#store.build();
    const table = new LookupTable(
      store,
      { names: this.#names, addresses: this.#addresses, parents: this.#parents },
      this.#options,
    );
    try {
      for (let id = 0; id < store.count; id++) {
        table.addHost(id);
        if (slice.isOver) await slice.next();
      }
      for (let id = 0; id < store.count; id++) {
        table.addOtherNames(id);
        if (slice.isOver) await slice.next();
      }
      return table;
    } catch (error) {
      table.free(previous);
      throw error;
    }
  }

  discard(): void {
    this.#store.discard();
  }

  #findEqual(packed: Buffer, host: string): number | undefined {
    const previous = this.#previous;
    if (previous === undefined) return undefined;
    const { store } = previous;
    const isEqual = (id: number): boolean => id < store.count && store.has(id) && store.packed(id).equals(packed);
    if (isEqual(this.#nextEqual)) return this.#nextEqual;
    const id = previous.idOfHost(host);
    return id !== undefined && isEqual(id) ? id : undefined;
  }
}
