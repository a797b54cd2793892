// SPDX-License-Identifier: Apache-2.0
import type { Budgets } from "../../model/limits.ts";
import type { BeginNameTable, NamedService, NameTableUpdate } from "../../model/name-table.ts";
import type { Budget } from "../../lib/budget.ts";
import { type MemoryGuard, MemoryShortError, unlimitedMemory } from "../../lib/memory-guard.ts";
import { FieldReader } from "../protocol/field-reader.ts";
import { typeUrls } from "../protocol/type-url.ts";
import { textOf, WireError, WireReader, wireType } from "../protocol/wire.ts";
import type { AgentResourceType, AgentResourceUpdate } from "./agent-resource-type.ts";

export interface NameTableDeps {
  readonly budgets: Budgets;
  /** Starts a new table; the response is accepted when its commit resolves, and rejected when a method throws. */
  readonly begin: BeginNameTable;
}

/** The map `table` of a NameTable. It is read one entry at a time, while it is received. */
const tableField = 1;

/**
 * The names of the mesh, for the DNS proxy (NDS). A response without a table removes the names, unless no table came
 * before it: then it is ignored. Several tables in one response are joined.
 */
export function createNameTable({ budgets, begin }: NameTableDeps): AgentResourceType {
  let isKnown = false;
  return {
    typeUrl: typeUrls.nameTable,
    isCached: true,
    responseBytes: budgets.of("nds-response-bytes"),
    async begin(signal) {
      const isFirst = !isKnown;
      const isWanted = (hasTable: boolean): boolean => {
        const wasKnown = isKnown;
        isKnown ||= hasTable;
        return hasTable || wasKnown;
      };
      // the pod is not ready without its first table, so that one is no work that can wait
      return new NameTableResponse(await begin(signal), budgets, { isWanted, canWait: !isFirst });
    },
  };
}

interface ResponseOptions {
  /** Decides whether a response is applied, by whether it has a table. */
  readonly isWanted: (hasTable: boolean) => boolean;
  /** Whether there is a table that serves until there is memory for the next one. */
  readonly canWait: boolean;
}

/** A response whose services go to the new name table one by one. */
class NameTableResponse implements AgentResourceUpdate {
  readonly #update: NameTableUpdate;
  readonly #isWanted: (hasTable: boolean) => boolean;
  readonly #fields: FieldReader;
  readonly #maxServices: Budget;
  readonly #maxAddresses: Budget;
  readonly #maxFields: Budget;
  readonly #memory: MemoryGuard;
  #services = 0;
  #addresses = 0;
  #hasTable = false;

  constructor(update: NameTableUpdate, budgets: Budgets, { isWanted, canWait }: ResponseOptions) {
    this.#update = update;
    this.#isWanted = isWanted;
    this.#memory = canWait ? budgets.memory : unlimitedMemory;
    this.#maxServices = budgets.of("nds-services").child();
    this.#maxFields = budgets.of("nds-service-fields");
    this.#maxAddresses = budgets.of("nds-addresses").child();
    this.#fields = new FieldReader(tableField, budgets.of("nds-service-bytes"), (bytes) => {
      this.#add(parseEntry(bytes, this.#maxFields));
    });
  }

  push(bytes: Uint8Array): void {
    if (this.#memory.isShort()) throw new MemoryShortError(this.#memory.text);
    this.#fields.push(bytes);
  }

  endResource(name: string): void {
    this.#fields.end();
    this.#update.endResource(name);
    this.#hasTable = true;
  }

  async commit(kept: ReadonlySet<string>): Promise<void> {
    if (this.#isWanted(this.#hasTable || kept.size > 0)) await this.#update.commit(kept);
  }

  [Symbol.dispose](): void {
    this.#update[Symbol.dispose]();
  }

  #add(service: NamedService): void {
    if (!this.#maxServices.admits(++this.#services)) throw this.#maxServices.spentError();
    this.#addresses += service.addresses.length;
    if (!this.#maxAddresses.admits(this.#addresses)) throw this.#maxAddresses.spentError();
    this.#update.add(service);
  }
}

/** Field numbers of an entry, and of its value. Source: Istio, pkg/dns/proto/nds.proto */
const entryFields = { host: 1, value: 2 } as const;
const valueFields = { address: 1, registry: 2, shortName: 3, namespace: 4, altHost: 5 } as const;

/**
 * Reads an entry without a decoded message in between: a large mesh has 100,000 of them.
 * @throws WireError when it is malformed; BudgetSpentError when it has too many fields
 */
function parseEntry(bytes: Uint8Array, maxFields: Budget): NamedService {
  const found = { host: "", registry: "", shortName: "", namespace: "" };
  const [addresses, altHosts]: [string[], string[]] = [[], []];
  const entry = new WireReader(bytes);
  let fields = 0;
  const next = (reader: WireReader): boolean => {
    if (!nextField(reader)) return false;
    if (++fields > maxFields.size && !maxFields.admits(fields)) throw maxFields.spentError();
    return true;
  };
  while (next(entry)) {
    if (entry.type !== wireType.bytes) continue;
    if (entry.number === entryFields.host) found.host = textOf(bytes, entry);
    if (entry.number !== entryFields.value) continue;
    const value = new WireReader(bytes, entry.valueStart, entry.end);
    while (next(value)) {
      if (value.type !== wireType.bytes) continue;
      if (value.number === valueFields.address) addresses.push(textOf(bytes, value));
      else if (value.number === valueFields.registry) found.registry = textOf(bytes, value);
      else if (value.number === valueFields.shortName) found.shortName = textOf(bytes, value);
      else if (value.number === valueFields.namespace) found.namespace = textOf(bytes, value);
      else if (value.number === valueFields.altHost) altHosts.push(textOf(bytes, value));
    }
  }
  return { ...found, addresses, altHosts };
}

function nextField(reader: WireReader): boolean {
  try {
    return reader.next();
  } catch (error) {
    throw new WireError("malformed entry of a name table", error);
  }
}
