// SPDX-License-Identifier: Apache-2.0
import { type Readable, Transform } from "node:stream";
import { getHeapSnapshot } from "node:v8";

/** A snapshot of the heap without the value of any string. The whole process stands still while it is taken. */
export function heapSnapshot(): Readable {
  const redaction = new HeapRedaction();
  const snapshot = getHeapSnapshot();
  redaction.once("close", () => snapshot.destroy());
  return snapshot.pipe(redaction);
}

/**
 * Nodes whose name is that of a class, a function or a part of the engine. The name of a string is its value, and a
 * regular expression may be made from one.
 */
const namedNodes: ReadonlySet<string> = new Set([
  ...["hidden", "array", "object", "code", "closure", "native", "synthetic", "object shape", "wasm object"],
  ...["number", "symbol", "bigint"],
]);
/** Edges whose name is that of a property or a variable; those of the others are numbers. */
const namedEdges: ReadonlySet<string> = new Set(["context", "property", "internal", "shortcut", "weak"]);

/** What precedes the records of each section, in the order of the snapshot. */
const sections = ['"nodes":[', '"edges":[', '"strings":['] as const;
/** Of V8's description of the format, which precedes the first section. */
const maxHeadBytes = 64 * 1024;

const [quote, backslash, closingBracket, zero, nine] = [0x22, 0x5c, 0x5d, 0x30, 0x39];

/**
 * Empties each string of a heap snapshot that is not the name of a property, variable, class or function: a snapshot
 * has every string of the process, among them keys, tokens and passwords. Works while the snapshot is written.
 * Source: V8's heap snapshot format: nodes and edges, with indexes of their names, then the table of strings
 */
export class HeapRedaction extends Transform {
  #head = "";
  #shapes: readonly RecordShape[] = [];
  /** Index into `sections`: where the reader is if `#inside`, else what comes next. */
  #section = 0;
  #inside = false;
  /** How many bytes of the next section's marker have come. */
  #matched = 0;
  #number = 0;
  #field = 0;
  #isNamed = false;
  /** By index in the table of strings: 1 for a name. */
  #names = new Uint8Array(64 * 1024);
  #stringIndex = 0;
  #inString = false;
  #isEscaped = false;

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    try {
      done(null, this.#redact(chunk));
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #redact(chunk: Buffer): Buffer {
    let at = 0;
    while (at < chunk.byteLength && !(this.#inside && this.#section === sections.length - 1)) {
      at = this.#inside ? this.#readRecords(chunk, at) : this.#findSection(chunk, at);
    }
    return at === chunk.byteLength ? chunk : this.#redactStrings(chunk, at);
  }

  /** @returns where the section begins, or the end of the chunk */
  #findSection(chunk: Buffer, start: number): number {
    const marker = sections[this.#section] ?? "";
    let at = start;
    while (at < chunk.byteLength && this.#matched < marker.length) {
      const byte = chunk[at++];
      if (byte === marker.charCodeAt(this.#matched)) this.#matched++;
      else this.#matched = byte === quote ? 1 : 0;
    }
    if (this.#section === 0) this.#head += chunk.toString("latin1", start, at);
    if (this.#head.length > maxHeadBytes) throw new Error("the heap snapshot has an unknown format");
    if (this.#matched < marker.length) return at;
    if (this.#section === 0) this.#shapes = parseShapes(this.#head.slice(0, -marker.length));
    this.#matched = 0;
    this.#inside = true;
    return at;
  }

  /** @returns the end of the section, or of the chunk */
  #readRecords(chunk: Buffer, start: number): number {
    const shape = this.#shapes[this.#section];
    if (shape === undefined) throw new Error("the heap snapshot has an unknown format");
    for (let at = start; at < chunk.byteLength; at++) {
      const byte = chunk[at] ?? 0;
      if (byte >= zero && byte <= nine) this.#number = 10 * this.#number + byte - zero;
      else if (byte === 0x2c || byte === closingBracket) {
        this.#fieldEnded(shape);
        if (byte === closingBracket) {
          this.#section++;
          this.#inside = false;
          this.#field = 0;
          return at + 1;
        }
      }
    }
    return chunk.byteLength;
  }

  #fieldEnded(shape: RecordShape): void {
    if (this.#field === shape.type) this.#isNamed = shape.named[this.#number] === true;
    else if (this.#field === shape.name && this.#isNamed) this.#keep(this.#number);
    this.#field = (this.#field + 1) % shape.fields;
    this.#number = 0;
  }

  #keep(index: number): void {
    if (index >= this.#names.length) {
      const larger = new Uint8Array(2 * index);
      larger.set(this.#names);
      this.#names = larger;
    }
    this.#names[index] = 1;
  }

  #redactStrings(chunk: Buffer, start: number): Buffer {
    const kept = Buffer.allocUnsafe(chunk.byteLength);
    let length = chunk.copy(kept, 0, 0, start);
    for (let at = start; at < chunk.byteLength; at++) {
      const byte = chunk[at] ?? 0;
      const isQuote = byte === quote && !this.#isEscaped;
      if (!this.#inString || isQuote || this.#names[this.#stringIndex] === 1) kept[length++] = byte;
      if (isQuote && this.#inString) this.#stringIndex++;
      if (isQuote) this.#inString = !this.#inString;
      this.#isEscaped = byte === backslash && !this.#isEscaped;
    }
    return kept.subarray(0, length);
  }
}

/** How many numbers a record of a section has, and where among them its type and its name are. */
interface RecordShape {
  readonly fields: number;
  readonly type: number;
  readonly name: number;
  /** By the number that stands for a type: whether the name of such a record is kept. */
  readonly named: readonly boolean[];
}

/**
 * The shapes of nodes and edges.
 * @param head the snapshot up to its nodes
 * @throws Error when the format is not the known one
 */
function parseShapes(head: string): readonly RecordShape[] {
  const { snapshot } = JSON.parse(`${head.slice(0, head.lastIndexOf(","))}}`) as { snapshot: { meta: SnapshotMeta } };
  const { node_fields, node_types, edge_fields, edge_types } = snapshot.meta;
  const shapeOf = (
    fields: readonly string[],
    types: readonly unknown[],
    nameField: string,
    isNamed: ReadonlySet<string>,
  ) => {
    const [type, name, kinds] = [fields.indexOf("type"), fields.indexOf(nameField), types[0]];
    if (type !== 0 || name <= type || !Array.isArray(kinds)) throw new Error("the heap snapshot has an unknown format");
    return { fields: fields.length, type, name, named: kinds.map((kind) => isNamed.has(String(kind))) };
  };
  return [
    shapeOf(node_fields, node_types, "name", namedNodes),
    shapeOf(edge_fields, edge_types, "name_or_index", namedEdges),
  ];
}

/** V8's description of the records. */
interface SnapshotMeta {
  readonly node_fields: readonly string[];
  readonly node_types: readonly unknown[];
  readonly edge_fields: readonly string[];
  readonly edge_types: readonly unknown[];
}
